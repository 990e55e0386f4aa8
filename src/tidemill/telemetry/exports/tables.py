"""Data frames in JSON, as pandas writes them by columns (`orient="columns"`) or apart (`orient="split"`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tidemill.core.json import JsonObject

_FEWEST: Final = 3  # columns: an object of fewer objects is as likely something else


def rows(table: JsonObject) -> list[JsonObject]:
    """The rows of a data frame; none when it is not one. Of a frame by columns, `index` is what each row was found under."""
    columns, data = table.get("columns"), table.get("data")
    if (
        isinstance(columns, Sequence)
        and isinstance(data, Sequence)
        and not isinstance(columns, str)
        and not isinstance(data, str)
    ):
        names = [str(each) for each in columns]
        return [
            dict(zip(names, each, strict=False)) for each in data if isinstance(each, Sequence) and not isinstance(each, str)
        ]
    found = [(name, column) for name, column in table.items() if isinstance(column, Mapping)]
    if len(found) < len(table) or len(found) < _FEWEST or any(column.keys() != found[0][1].keys() for _, column in found):
        return []
    return [{"index": index, **{name: column[index] for name, column in found}} for index in found[0][1]]
