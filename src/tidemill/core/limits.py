"""How much one request to the control plane may hold; `[limits]` in `tidemill.toml` changes each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import cast

from tidemill.core.errors import Invalid
from tidemill.core.suggest import did_you_mean


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of a request. Blobs and imports, which stream to disk, have bounds of their own."""

    body_bytes: int = 32 * 1024 * 1024
    """Bytes of a JSON body, after it is unpacked."""
    json_depth: int = 64
    """How deep objects and lists of a JSON body may nest."""
    json_keys: int = 1_000_000
    """Keys of all objects of a JSON body together."""
    files: int = 50_000
    """Files in one plan or apply."""
    uri_bytes: int = 16 * 1024
    """Bytes of an address with its query."""
    header_bytes: int = 32 * 1024
    """Bytes of all headers together."""
    headers: int = 100
    """Number of headers."""
    body_seconds: int = 120
    """Seconds in which a JSON body must arrive; of a stream, each piece."""


def read_limits(given: object, *, where: str = "") -> Limits:
    """Limits of the table `[limits]`. Raises `Invalid` for an unknown key, or a value that is not a whole number above 0."""
    if given is None:
        return Limits()
    if not isinstance(given, Mapping):
        raise Invalid("limits is not a table", where=where, hint="Write [limits] and a line such as body_bytes = 67108864.")
    known = [each.name for each in fields(Limits)]
    values: dict[str, int] = {}
    for key, value in cast("Mapping[str, object]", given).items():
        if key not in known:
            raise Invalid(f"unknown limit {key!r}", where=where, hint=did_you_mean(key, known))
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise Invalid(f"limits.{key} is {value!r}", where=where, hint="Write a whole number above 0.")
        values[key] = value
    return Limits(**values)
