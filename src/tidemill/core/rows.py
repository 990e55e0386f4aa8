"""Typed canonical rows: every value a dataset can hold, as JSON that JCS can carry, and back.

JSON values stay as they are. What JSON cannot carry becomes an object with one key that begins with `$`; an object of the
user's that has such a key is wrapped in `$object`, so that nothing is ever mistaken.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import math
from collections.abc import Mapping, Sequence
from typing import cast

from tidemill.core.digests import digest_json
from tidemill.core.errors import Invalid
from tidemill.core.json import Json

_LARGEST = 2**53 - 1


def encode_value(value: object) -> Json:
    """Encode one value: JSON values, large integers, NaN and infinities, decimals, bytes, dates and times.

    Raises `Invalid` for any other type, and for a time without a time zone.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST else {"$int": str(value)}
    if isinstance(value, float):
        return _encode_float(value)
    if isinstance(value, Mapping):
        return _encode_object(cast("Mapping[object, object]", value))
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [encode_value(each) for each in cast("Sequence[object]", value)]
    return _encode_scalar(value)


def _encode_float(value: float) -> Json:
    if math.isfinite(value):
        return 0.0 if value == 0 else value
    return {"$float": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}


def _encode_object(value: Mapping[object, object]) -> Json:
    encoded: dict[str, Json] = {}
    for key, each in value.items():
        if not isinstance(key, str):
            raise Invalid(f"the key {key!r} is not text", hint="Quote it.")
        encoded[key] = encode_value(each)
    return {"$object": encoded} if any(key.startswith("$") for key in encoded) else encoded


def _encode_scalar(value: object) -> Json:
    if isinstance(value, decimal.Decimal):
        return {"$decimal": _exact(value)}
    if isinstance(value, bytes | bytearray):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise Invalid(f"the time {value.isoformat()} has no time zone", hint="Add one, as in 2026-01-31T12:00:00Z.")
        return {"$time": value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")}
    if isinstance(value, dt.date):
        return {"$date": value.isoformat()}
    raise Invalid(
        f"a value of type {type(value).__name__} cannot stand in a row",
        hint="Use JSON values, bytes, decimals or times.",
    )


def _exact(value: decimal.Decimal) -> str:
    """The shortest text of exactly this number; `Decimal.normalize` would round it to the context's precision."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return str(value)
    kept = "".join(map(str, digits)).rstrip("0")
    exponent = exponent + len(digits) - len(kept) if kept else 0
    return str(decimal.Decimal((sign, tuple(map(int, kept or "0")), exponent)))


def decode_value(value: Json) -> object:
    """The inverse of `encode_value`."""
    if isinstance(value, Mapping):
        if len(value) == 1:
            (tag, content), *_ = value.items()
            if tag.startswith("$"):
                return _decode_tagged(tag, content)
        return {key: decode_value(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [decode_value(each) for each in value]
    return value


def _decode_tagged(tag: str, content: Json) -> object:
    if tag == "$object" and isinstance(content, Mapping):
        return {key: decode_value(each) for key, each in content.items()}
    if not isinstance(content, str):
        raise Invalid(f"{tag} needs text, not {content!r}")
    match tag:
        case "$int":
            return int(content)
        case "$float":
            return float(content)
        case "$decimal":
            return decimal.Decimal(content)
        case "$bytes":
            return base64.b64decode(content, validate=True)
        case "$time":
            return dt.datetime.fromisoformat(content)
        case "$date":
            return dt.date.fromisoformat(content)
        case _:
            raise Invalid(f"{tag} is not a known type of value", hint="Known: $int $float $decimal $bytes $time $date $object.")


def row_digest(row: Mapping[str, object]) -> str:
    """The digest of one row by its typed canonical form."""
    return digest_json(encode_value(row))
