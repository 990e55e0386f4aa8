"""Digests: the identity of content.

    digest = "sha256:" + sha256(JCS({"schema": "tidemill/1", "kind", "spec", "refs", "blobs"}))

JCS is RFC 8785. A name, project, description, tags and owner stand outside; so does a connection's content. Test vectors are
in `docs/reference/digests.md` and are checked by the tests.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring
from pathlib import Path
from typing import cast

from tidemill.core.errors import Invalid
from tidemill.core.json import Json

SCHEMA = "tidemill/1"
_LARGEST = 2**53 - 1


def canonical(value: Json) -> bytes:
    """The RFC 8785 (JCS) bytes of a JSON value.

    Raises `Invalid` for what JCS cannot carry: NaN, infinities, integers beyond 2^53 - 1, lone surrogates, keys that are
    not text. Rows that hold such values are first encoded by `rows.encode_value`.
    """
    try:
        return _write(value).encode("utf-8")
    except UnicodeEncodeError as error:
        raise Invalid("text holds a lone surrogate, which no JSON can carry") from error
    except RecursionError as error:
        raise Invalid("the value is nested too deeply to have a digest") from error


def _write(value: Json) -> str:
    if isinstance(value, str):
        return encode_basestring(value)  # it escapes just what RFC 8785 does, in the same words
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _write_integer(value)
    if isinstance(value, float):
        return _write_float(value)
    if isinstance(value, Mapping):
        return _write_object(value)
    if isinstance(cast("object", value), Sequence) and not isinstance(cast("object", value), bytes | bytearray | memoryview):
        return "[" + ",".join(map(_write, value)) + "]"
    raise Invalid(f"a value of type {type(value).__name__} has no canonical form", hint="Use JSON values only.")


def _write_object(value: Mapping[str, Json]) -> str:
    try:
        is_ascii = "".join(value).isascii()
    except TypeError:
        key = next(each for each in value if not isinstance(cast("object", each), str))
        raise Invalid(f"the key {key!r} is not text", hint="Quote it.") from None
    keys = sorted(value) if is_ascii else sorted(value, key=lambda key: key.encode("utf-16-be"))
    return "{" + ",".join([f"{encode_basestring(key)}:{_write(value[key])}" for key in keys]) + "}"


def _write_integer(value: int) -> str:
    if abs(value) > _LARGEST:
        raise Invalid(f"the integer {value} is beyond 2^53 - 1, which JSON cannot carry exactly", hint="Write it as text.")
    return str(value)


def _write_float(value: float) -> str:
    """ECMAScript's Number::toString, which RFC 8785 prescribes, out of Python's shortest round-trip digits."""
    if not math.isfinite(value):
        raise Invalid(f"{value} has no canonical form", hint="JSON has no NaN and no infinity.")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}e0".partition("e")
    if exponent.count("e"):
        exponent = exponent.partition("e")[0]
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    return sign + _place_point(digits, point)


def _place_point(digits: str, point: int) -> str:
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    power = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return f"{digits[0]}.{digits[1:]}{power}" if count > 1 else digits + power


def digest_bytes(content: bytes) -> str:
    """The digest of raw bytes, as a blob is named."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def digest_file(path: Path) -> str:
    """The digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def digest_json(value: Json) -> str:
    """The digest of a JSON value's canonical bytes."""
    return digest_bytes(canonical(value))


def artifact_digest(kind: str, *, spec: Json, refs: Mapping[str, str], blobs: Mapping[str, str]) -> str:
    """The digest of one artifact version.

    `spec` is the canonical content; `refs` maps each reference as written, without version, to the digest it resolved to;
    `blobs` maps each blob's role to the blob's digest.
    """
    return digest_json({"schema": SCHEMA, "kind": kind, "spec": spec, "refs": dict(refs), "blobs": dict(blobs)})
