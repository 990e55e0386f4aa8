"""Data frames in JSON, as pandas writes them by columns (`orient="columns"`) or apart (`orient="split"`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.core.json import Json, JsonObject


def rows(table: JsonObject) -> list[JsonObject]:
    """The rows of a data frame; none when it is not one."""
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
    if not table or not all(isinstance(each, Mapping) for each in table.values()):
        return []
    made: dict[str, dict[str, Json]] = {}
    for name, column in table.items():
        if isinstance(column, Mapping):
            for index, value in column.items():
                made.setdefault(index, {})[name] = value
    return list(made.values())
