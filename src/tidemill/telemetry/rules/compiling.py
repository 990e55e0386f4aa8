"""From the document of a project to its rules."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, cast

from tidemill.core.errors import Invalid
from tidemill.core.extend import Redactor, load_extension
from tidemill.core.json import JsonObject
from tidemill.telemetry.rules.apply import EMPTY, Capture, Rules
from tidemill.telemetry.rules.patterns import BUILT_IN
from tidemill.telemetry.rules.redact import Cleaner, FieldRule, TextRule, field_path
from tidemill.telemetry.rules.regex import Find, Place, compile_pattern, join_places
from tidemill.telemetry.rules.spec import ROOTS, RuleSpec, TelemetrySpec, retention_seconds
from tidemill.telemetry.sampling import read_sampling

_ANCHORS: Final = re.compile(r"[\^$]|\\[AzZbB]")


def compile_rules(
    spec: JsonObject | None,
    *,
    key: Callable[[], bytes],
    version: str = "",
    endpoints: Mapping[str, float] | None = None,
) -> Rules:
    """The rules of a document that was checked; None is a project without one.

    `key` gives the project's key for hashes; it is asked when the first one is made. `endpoints` are the shares that endpoints
    say of themselves. Raises `MissingExtra` for a detector that is not installed.
    """
    narrowed = {name: share for name, share in (endpoints or {}).items() if share < 1}
    if spec is None:
        return Rules(capture=Capture(narrowed=narrowed), changes_nothing=not narrowed) if narrowed else EMPTY
    read = TelemetrySpec.model_validate(spec)
    capture = Capture(
        default=read.capture.default,
        endpoints=read.capture.endpoints,
        kinds=cast("Mapping[str, float]", read.capture.kinds),
        narrowed=narrowed,
    )
    hashes_users = read.users == "hash"
    sampling = read_sampling(read.sampling)
    texts = tuple(_text_rule(each) for each in read.redact if each.field is None)
    fields = tuple(_field_rule(each) for each in read.redact if each.field is not None)
    cleaner = Cleaner(texts=texts, fields=fields, key=functools.cache(key)) if texts or fields or hashes_users else None
    return Rules(
        version=version,
        capture=capture,
        cleaner=cleaner,
        hashes_users=hashes_users,
        retention={name: retention_seconds(name, length) for name, length in read.retention.items()},
        sampling=sampling,
        prices=read.prices,
        by_part={} if cleaner is None else {part: cleaner.rules_for(part) for part in (*ROOTS, "release")},
        changes_nothing=cleaner is None and capture.keeps_all and sampling.keeps_all,
        is_slow=any(each.is_slow for each in texts),
    )


def mistake_of(rule: RuleSpec) -> Invalid | None:
    """What is wrong with a rule's detector. Raises `MissingExtra` when it is not installed."""
    try:
        _text_rule(rule)
    except Invalid as error:
        return error
    return None


def _text_rule(spec: RuleSpec) -> TextRule:
    name = spec.name or spec.detector or (spec.pattern if spec.pattern in BUILT_IN else "redacted") or "redacted"
    return TextRule(
        name=name,
        find=_detector(spec) if spec.detector is not None else _pattern(spec.pattern or ""),
        action=spec.action,
        replacement=f"[{name}]" if spec.replacement is None else spec.replacement,
        within=None if spec.within is None else frozenset(spec.within),
        anchored=spec.pattern is not None and spec.pattern not in BUILT_IN and _ANCHORS.search(spec.pattern) is not None,
        is_slow=spec.detector is not None,
    )


def _pattern(text: str) -> Find:
    return BUILT_IN.get(text) or compile_pattern(text)


def _detector(spec: RuleSpec) -> Find:
    options: dict[str, object] = {}
    if spec.entities:
        options["entities"] = spec.entities
    if spec.threshold is not None:
        options["threshold"] = spec.threshold
    redactor = cast("Callable[..., Redactor]", load_extension("redactors", spec.detector or ""))(**options)

    def find(text: str) -> Iterator[Place]:
        return join_places([(start, end) for start, end, _ in redactor.find(text)])

    return find


def _field_rule(spec: RuleSpec) -> FieldRule:
    glob = spec.field or ""
    return FieldRule(
        part=glob.partition(".")[0],
        path=field_path(glob),
        action=spec.action,
        replacement="[redacted]" if spec.replacement is None else spec.replacement,
    )
