"""The JSON value types, and reading JSON without trusting it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

import orjson

from tidemill.core.errors import Invalid

Json: TypeAlias = "None | bool | int | float | str | Sequence[Json] | Mapping[str, Json]"
JsonObject: TypeAlias = Mapping[str, Json]


def parse_json(text: str | bytes, *, what: str) -> Json:
    """Parse one JSON document; `what` names it in the error, as in "the request body"."""
    try:
        return cast("Json", orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise Invalid(f"{what} is not valid JSON: {error}", hint="Send one JSON document in UTF-8.") from error


def dump_json(value: object) -> bytes:
    """Serialise to compact UTF-8 JSON in the order given; for canonical bytes see `digests.canonical`."""
    return orjson.dumps(value)
