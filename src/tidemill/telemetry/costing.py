"""Gives spans their cost: by the project's own prices, else by the list; a cost that the sender gave stays."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, cast

from msgspec.structs import replace

from tidemill.core.errors import Invalid
from tidemill.core.json import Json
from tidemill.core.records import SpanRecord
from tidemill.pricing import Overrides, Priced, price_of, read_prices
from tidemill.telemetry import genai
from tidemill.telemetry.questions.trace import BILLED_KINDS
from tidemill.telemetry.rules.apply import Rules

SOURCE: Final = "tidemill.cost_source"
"""Whose price a span's cost was made by: `list` or `project`. Without it the sender gave it, or it was recorded here."""
SENT: Final = "tidemill.cost_sent"
"""The cost that the sender gave, where another has taken its place."""
IMAGES: Final = ("gen_ai.usage.output_images", "gen_ai.usage.images", "tidemill.images")
"""How many images were made, by the names of attributes."""
AUDIO: Final = ("gen_ai.usage.audio_seconds", "gen_ai.usage.input_audio_seconds", "tidemill.audio_seconds")
"""How many seconds of audio were taken in or made."""
_COUNTS: Final = frozenset({*IMAGES, *AUDIO})
_KEPT: Final = 1000
_log = logging.getLogger("tidemill.telemetry")


class Costs:
    """Remembers each project's prices as they were read. From any thread."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, str], Overrides] = {}

    def overrides(self, project: str, rules: Rules) -> Overrides:
        """A project's own prices; what cannot be read is left out, and said once."""
        key = (project, rules.version)
        found = self._read.get(key)
        if found is None:
            try:
                found = Overrides(read_prices(rules.prices))
            except Invalid as error:
                _log.warning("the prices of project %s are left out: %s", project, error)
                found = Overrides()
            if len(self._read) >= _KEPT:
                self._read.clear()
            self._read[key] = found
        return found

    def priced(self, record: SpanRecord, rules: Rules) -> SpanRecord:
        """The span with its cost. Never raises."""
        if record.kind not in BILLED_KINDS or not record.model:
            return record
        overrides = self.overrides(record.project, rules)
        if record.cost is not None and (record.dialect or not overrides.prices):
            return record
        images, seconds = used(record.attributes, record.output)
        found = _price(record, overrides, images, seconds)
        if found is None or (record.cost is not None and found.source == "list"):
            return record
        counted: dict[str, Json] = {IMAGES[-1]: images} if images else {}  # told by the output, which may not be kept
        attributes = {**counted, **record.attributes, SOURCE: found.source}
        return replace(record, cost=found.cost, attributes=attributes)


def price(record: SpanRecord, overrides: Overrides) -> Priced | None:
    """What a span cost by the prices of its time; None when nothing says."""
    images, seconds = used(record.attributes, record.output)
    return _price(record, overrides, images, seconds)


def _price(record: SpanRecord, overrides: Overrides, images: float, seconds: float) -> Priced | None:
    provider = record.provider or _text(record.attributes, genai.PROVIDER)
    if not (images or seconds or record.usage.input_tokens or record.usage.output_tokens) and record.cost is None:
        overrides_only = overrides.at(provider, record.model or "", record.start_ns)
        if overrides_only is None or not overrides_only.request:
            return None  # nothing was counted, which is not the same as nothing used
    return price_of(
        provider, record.model or "", record.usage, at_ns=record.start_ns, overrides=overrides, images=images,
        audio_seconds=seconds,
    )  # fmt: skip


def used(attributes: Mapping[str, Json], output: Json) -> tuple[float, float]:
    """Images made and seconds of audio, as attributes say; images else by the parts of the output."""
    images, seconds = None, 0.0
    if not _COUNTS.isdisjoint(attributes):
        images = next((_number(attributes[name]) for name in IMAGES if name in attributes), None)
        seconds = next((_number(attributes[name]) for name in AUDIO if name in attributes), 0.0)
    return float(_images(output)) if images is None else images, seconds


def _images(output: Json) -> int:
    """How many parts of the messages of an output are images."""
    found = 0
    messages = output.get("messages") if isinstance(output, dict | Mapping) else None
    for message in messages if isinstance(messages, list | tuple) else ():
        content = message.get("content") if isinstance(message, dict | Mapping) else None
        for part in content if isinstance(content, list | tuple) else ():
            found += isinstance(part, dict | Mapping) and part.get("type") == "image"
    return found


def _text(attributes: Mapping[str, Json], name: str) -> str:
    value = attributes.get(name)
    return value if isinstance(value, str) else ""


def _number(value: object) -> float:
    try:
        found = float(cast("str", value))
    except (TypeError, ValueError):
        return 0.0
    return found if 0 <= found < 1e9 else 0.0
