"""The rules of one project, compiled: from a span as it came to the span that may be stored."""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson
from msgspec.structs import replace

from tidemill.core.json import Json
from tidemill.core.records import SpanRecord
from tidemill.core.refs import is_digest
from tidemill.telemetry import genai
from tidemill.telemetry.rules.redact import Cleaner, Dropped, TextRule, leaves
from tidemill.telemetry.sampling import ALL, Sampling, sample_head

_PLAIN: Final = ("name", "error", "model", "provider", "step", "service", "scope", "endpoint", "release")
_LISTS: Final = ("tags", "finish_reasons")
_TREES: Final = ("input", "output", "attributes", "resource", "events", "links")
_PEOPLE: Final = ("user", "session")
_PAIRS: Final = ("attributes", "resource", "events", "links")
_HASHED: Final = "hash:"
_NAME_LEFT: Final = "(dropped)"
_CONTENT: Final = re.compile(
    r"(?i)(^|[._])(inputs?|outputs?|prompts?|completions?|messages?|content|contents|text|arguments|result|results|documents?|"
    r"query|question|answer|response|request|body|transcript|parameters|invocation_parameters|observation|entity)([._]|$)"
)
_SHORT_ENOUGH: Final = 64
_USER: Final = re.compile(
    r"(?i)(.*[._])?(user|enduser|end_user)[._]?(id|name|email|full_name|hash)"
    r"|(.*[._])?(userid|username|enduser|end_user|user)"
)
_log = logging.getLogger("tidemill.telemetry")


@dataclass(frozen=True, kw_only=True, slots=True)
class Capture:
    """The share of traces whose content is kept, 0 to 1. What is named by endpoint and kind goes before `default`.

    `narrowed` is what the endpoints say of themselves, which may only make it less.
    """

    default: float = 1.0
    endpoints: Mapping[str, float] = field(default_factory=dict[str, float])
    kinds: Mapping[str, float] = field(default_factory=dict[str, float])
    narrowed: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is left out."""
        return self.default >= 1 and all(each >= 1 for m in (self.endpoints, self.kinds, self.narrowed) for each in m.values())

    def keeps(self, record: SpanRecord) -> bool:
        """Whether this span's content is kept; decided by the trace's id, so that a trace is kept whole or not at all."""
        endpoint = (record.endpoint or "").removeprefix("endpoint/")
        named = [share for share in (self.endpoints.get(endpoint), self.kinds.get(record.kind)) if share is not None]
        share = min(min(named) if named else self.default, self.narrowed.get(endpoint, 1.0))
        return share >= 1 or (share > 0 and zlib.crc32(b"capture" + record.trace_id.encode()) < share * 2**32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What a project says of its spans. `version` names the document that said it, empty for none.

    `retention` is in seconds by kind of span, and by `spans`, `payloads`, `scores` and `numbers`; None is for ever. `prices`
    are as the document has them, for `pricing/` to read.
    """

    version: str = ""
    capture: Capture = field(default_factory=Capture)
    cleaner: Cleaner | None = None
    hashes_users: bool = False
    retention: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    sampling: Sampling = ALL
    prices: Json = None
    by_part: Mapping[str, tuple[TextRule, ...]] = field(default_factory=dict[str, tuple[TextRule, ...]])
    changes_nothing: bool = True
    """Whether `apply` gives back what it is given."""
    is_slow: bool = False
    """Whether `apply` may take milliseconds or more, so that it belongs on a thread."""

    def apply(self, record: SpanRecord) -> SpanRecord | None:
        """The span as it may be stored; None when nothing of it may.

        Never raises: a span that cannot be redacted loses its content.
        """
        if self.changes_nothing:
            return record
        try:
            return self._apply(record)
        except Exception:  # noqa: BLE001  (the promise is that nothing passes unredacted, whatever fails)
            _log.exception("a span could not be redacted; its content was left out")
            return without_anything(record)

    def user(self, name: str) -> str:
        """A user's name as it is stored, to look them up by or to join what else is known of them."""
        if not name or self.cleaner is None:
            return name
        return self._person(name, "user") or ""

    def text(self, text: str, part: str = "feedback") -> str:
        """A text that somebody wrote, without what the rules find."""
        if self.cleaner is None:
            return text
        cleaned = self.cleaner.text(text, self.by_part.get(part, ()))
        return "" if isinstance(cleaned, Dropped) else cleaned

    def value(self, value: Json, part: str = "feedback") -> Json:
        """The same for a value."""
        if self.cleaner is None:
            return value
        cleaned = self.cleaner.value(value, self.by_part.get(part, ()))
        return None if isinstance(cleaned, Dropped) else cleaned

    def people(self, value: Json) -> Json:
        """A value (pairs as a span or a point of a metric has them) with users hashed where a key says that it is one."""
        if not self.hashes_users:
            return value
        if isinstance(value, Mapping):
            return {key: self._hidden(each) if is_user(key) else self.people(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.people(each) for each in value]
        if isinstance(value, str) and value[:1] == "{" and "user" in value:
            return self._people_inside(value)
        return value

    def _people_inside(self, text: str) -> str:
        """The same for a mapping that is written as JSON."""
        try:
            inside = cast("Json", orjson.loads(text))
        except orjson.JSONDecodeError:
            return text
        hidden = self.people(inside)
        return text if hidden == inside else orjson.dumps(hidden).decode()

    def _hidden(self, value: Json) -> Json:
        if value is None or value == "" or (isinstance(value, str) and value.startswith(_HASHED)):
            return value
        return self._hash_person(value if isinstance(value, str) else orjson.dumps(value, default=str).decode())

    def _apply(self, record: SpanRecord) -> SpanRecord | None:
        changes: dict[str, Any] = {}
        if not self.sampling.keeps_all:
            sampled = sample_head(record, self.sampling.head)
            if sampled is None:
                return None
            record = sampled
        if not self.capture.keeps(record):
            record = _without_content(record)
        if self.cleaner is None:
            return record
        if self.hashes_users:
            self._hide_user(record, record.user, changes)
        if self.cleaner.fields:
            self._fields(record, changes)
        if self.cleaner.texts and self._may_find(record, changes):
            self._texts(record, changes)
        return replace(record, **changes) if changes else record

    def _hide_user(self, record: SpanRecord, user: str | None, changes: dict[str, Any]) -> None:
        """The user's name is hashed where it stands for the user, also where instrumentation repeats it."""
        for part in _PAIRS:
            before = getattr(record, part)
            if before:
                self._set(part, self.people(cast("Json", before)), changes)
        if not user:
            return
        hidden = self._hash_person(user)
        changes["user"] = hidden
        if record.session == user:
            changes["session"] = hidden
        changes["tags"] = tuple(hidden if each == user else each for each in record.tags)
        for part in _PAIRS:
            changes[part] = _replaced(changes.get(part, getattr(record, part)), user, hidden)

    def _fields(self, record: SpanRecord, changes: dict[str, Any]) -> None:
        assert self.cleaner is not None
        for part in dict.fromkeys(each.part for each in self.cleaner.fields):
            if part not in {*_PLAIN, *_LISTS, *_TREES, *_PEOPLE}:
                continue
            before = changes.get(part, getattr(record, part))
            if before is None or before in ((), {}, ""):
                continue
            self._set(part, self.cleaner.at_fields(cast("Json", before), part), changes)

    def _may_find(self, record: SpanRecord, changes: Mapping[str, Any]) -> bool:
        """Whether any rule finds anything in all of the span's texts taken as one; most spans have nothing, and end here."""
        assert self.cleaner is not None
        if any(each.anchored or each.is_slow for each in self.cleaner.texts):
            return True
        joined = "\x00".join(_texts_of(record, changes))
        return any(next(iter(each.find(joined)), None) is not None for each in self.cleaner.texts)

    def _texts(self, record: SpanRecord, changes: dict[str, Any]) -> None:
        assert self.cleaner is not None
        for part in (*_PLAIN, *_LISTS, *_TREES, *_PEOPLE):
            rules = self.by_part.get(part, ())
            before = changes.get(part, getattr(record, part))
            if not rules or before is None or before in ((), {}, ""):
                continue
            if part in _PEOPLE:
                if part not in changes:
                    changes[part] = self._person(cast("str", before), part)
            elif part != "release" or not is_digest(cast("str", before)):
                self._set(part, self.cleaner.value(cast("Json", before), rules), changes)

    def _person(self, name: str, part: str) -> str | None:
        """A user or a session in which a rule finds something is hashed whole, so that it can still be counted."""
        assert self.cleaner is not None
        if self.hashes_users and part == "user":
            return self._hash_person(name)
        cleaned = self.cleaner.text(name, self.by_part.get(part, ()))
        if isinstance(cleaned, Dropped):
            return None
        return name if cleaned == name else self._hash_person(name)

    def _hash_person(self, name: str) -> str:
        assert self.cleaner is not None
        return name if name.startswith(_HASHED) else f"{_HASHED}{self.cleaner.hashed(name)}"

    def _set(self, part: str, value: Json | Dropped, changes: dict[str, Any]) -> None:
        if part == "name":
            changes[part] = value if isinstance(value, str) and value else _NAME_LEFT
        elif part in _LISTS:
            changes[part] = tuple(str(each) for each in _members(value))
        elif part in {"events", "links"}:
            changes[part] = tuple(each for each in _members(value) if isinstance(each, Mapping))
        elif part in {"attributes", "resource"}:
            changes[part] = value if isinstance(value, Mapping) else {}
        elif part in {"service", "scope"}:
            changes[part] = "" if isinstance(value, Dropped) else str(value)
        else:
            changes[part] = None if isinstance(value, Dropped) else value


EMPTY: Final = Rules()
"""Keeps everything as it is."""


def is_user(key: str) -> bool:
    """Whether an attribute of this name says who the user is, in the conventions that are known."""
    return _USER.fullmatch(key) is not None


def _members(value: Json | Dropped) -> Sequence[Json]:
    return [each for each in value if each is not None] if isinstance(value, list | tuple) else ()


def _texts_of(record: SpanRecord, changes: Mapping[str, Any]) -> Iterator[str]:
    for part in (*_PLAIN, *_PEOPLE):
        value = changes.get(part, getattr(record, part))
        if value:
            yield value
    for part in (*_LISTS, *_TREES):
        value = changes.get(part, getattr(record, part))
        if value:
            yield from leaves(cast("Json", value))


def _replaced(value: Any, user: str, hidden: str) -> Any:
    if isinstance(value, str):
        return hidden if value == user else value
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value).items()
        return {key: _replaced(each, user, hidden) for key, each in pairs}
    if isinstance(value, list | tuple):
        members = [_replaced(each, user, hidden) for each in cast("Sequence[Any]", value)]
        return tuple(members) if isinstance(value, tuple) else members
    return value


def _without_content(record: SpanRecord) -> SpanRecord:
    """What was done and how long it took, without what was said. Numbers, ids and short names stay."""
    attributes = {key: value for key, value in record.attributes.items() if not _is_content(key, value)}
    events = tuple({key: each[key] for key in ("name", "time") if key in each} for each in record.events)
    return replace(record, input=None, output=None, events=events, attributes={**attributes, genai.CAPTURE: "off"})


def _is_content(key: str, value: Json) -> bool:
    """Whether an attribute may hold what was said: by its name, or because it is long or has parts."""
    if key.startswith("tidemill."):
        return False
    if isinstance(value, str):
        return len(value) > _SHORT_ENOUGH or _CONTENT.search(key) is not None
    return value is not None and not isinstance(value, bool | int | float)


def without_anything(record: SpanRecord) -> SpanRecord:
    """The span with nothing but its place, times and numbers."""
    return SpanRecord(
        trace_id=record.trace_id,
        span_id=record.span_id,
        parent_id=record.parent_id,
        name=_NAME_LEFT,
        kind=record.kind,
        start_ns=record.start_ns,
        end_ns=record.end_ns,
        project=record.project,
        status=record.status,
        usage=record.usage,
        cost=record.cost,
        weight=record.weight,
        attributes={genai.CAPTURE: "failed"},
    )
