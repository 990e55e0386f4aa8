"""Attribute values of the protocol (`AnyValue`, `KeyValue`) as JSON, within bounds."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Final

from tidemill.core.json import Json

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

    from tidemill.telemetry.otlp.tally import Tally

LONGEST_TEXT: Final = 16 * 1024 * 1024
"""Characters of one text; a longer one is cut to `KEPT_TEXT` of them."""
KEPT_TEXT: Final = 256 * 1024
MOST_ATTRIBUTES: Final = 1024
"""Attributes of one span, event, link or resource; the rest is dropped and counted."""
_SHORT: Final = 128  # bytes of a pair that is kept
_MOST_KNOWN: Final = 8192
_known: dict[bytes, tuple[str, Json]] = {}  # pairs by their bytes


def read_attributes(pairs: Iterable[KeyValue], tally: Tally) -> dict[str, Json]:
    """Attributes by key; of two with one key the last one stays."""
    found: dict[str, Json] = {}
    for pair in pairs:
        value = pair.value
        text = value.string_value
        if text:
            found[pair.key] = text if len(text) <= LONGEST_TEXT else cut(text, tally)
        else:
            found[pair.key] = read_value(value, tally)
    return found if len(found) <= MOST_ATTRIBUTES else _fewer(found, tally)


def read_packed(pairs: Iterable[bytes], tally: Tally) -> dict[str, Json]:
    """As `read_attributes`, of pairs that are bytes; most of them are short, were seen before, and are read once."""
    found: dict[str, Json] = {}
    known = _known
    for packed in pairs:
        pair = known.get(packed) or _unpack(packed, tally)
        found[pair[0]] = pair[1]
    return found if len(found) <= MOST_ATTRIBUTES else _fewer(found, tally)


def _unpack(packed: bytes, tally: Tally) -> tuple[str, Json]:
    pair = _pair_kind().FromString(packed)
    value = pair.value
    text = value.string_value
    if not text:
        read = read_value(value, tally)
    elif len(text) <= LONGEST_TEXT:
        read = text
    else:
        read = cut(text, tally)
    if len(packed) <= _SHORT and not isinstance(read, list | dict):  # what is shared must not be changed by anyone
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[packed] = pair.key, read
    return pair.key, read


@cache
def _pair_kind() -> type[KeyValue]:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue  # noqa: PLC0415  (only a server that is sent something)

    return KeyValue


def _fewer(found: dict[str, Json], tally: Tally) -> dict[str, Json]:
    tally.attributes_dropped += len(found) - MOST_ATTRIBUTES
    return dict(list(found.items())[:MOST_ATTRIBUTES])


def read_value(value: AnyValue, tally: Tally) -> Json:
    """One value; bytes as base64, what JSON has no number for (NaN, infinities) as text, nothing as None."""
    match value.WhichOneof("value"):
        case "string_value":
            text = value.string_value
            return text if len(text) <= LONGEST_TEXT else cut(text, tally)
        case "int_value":
            return value.int_value
        case "bool_value":
            return value.bool_value
        case "double_value":
            number = value.double_value
            return number if math.isfinite(number) else str(number)
        case "array_value":
            return [read_value(each, tally) for each in value.array_value.values]
        case "kvlist_value":
            return read_attributes(value.kvlist_value.values, tally)
        case "bytes_value":
            text = base64.b64encode(value.bytes_value).decode("ascii")
            return text if len(text) <= LONGEST_TEXT else cut(text, tally)
        case _:
            return None


def cut(text: str, tally: Tally) -> str:
    """The beginning of a text that is too long, with its length."""
    tally.values_cut += 1
    return f"{text[:KEPT_TEXT]} … ({len(text)} characters, cut short)"
