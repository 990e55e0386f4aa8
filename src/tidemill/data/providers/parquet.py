"""Rows of a Parquet file, through pyarrow."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from tidemill.core.errors import Invalid, MissingExtra


def read(content: bytes, *, path: str) -> list[Mapping[str, object]]:
    """Every row. Raises `Invalid` when it is not Parquet, `MissingExtra` without pyarrow."""
    try:
        import pyarrow as pa  # noqa: PLC0415  (heavy)
        from pyarrow import parquet  # noqa: PLC0415  (heavy)
    except ModuleNotFoundError as error:
        raise MissingExtra("analytics", needed_for=f"reading {path}") from error
    try:
        table = parquet.read_table(io.BytesIO(content))  # pyright: ignore[reportUnknownVariableType]
        rows: list[Mapping[str, object]] = table.to_pylist()  # pyright: ignore[reportUnknownVariableType]
    except (pa.ArrowException, OSError) as error:  # pyright: ignore[reportUnknownVariableType]
        raise Invalid(f"{path} is not valid Parquet: {error}", where="path") from error
    return rows  # pyright: ignore[reportUnknownVariableType]


def write(rows: Sequence[Mapping[str, object]], *, like: bytes, path: str) -> bytes:
    """The rows as Parquet, with the columns' types of the file that was there (empty: as the values are)."""
    try:
        import pyarrow as pa  # noqa: PLC0415  (heavy)
        from pyarrow import parquet  # noqa: PLC0415  (heavy)
    except ModuleNotFoundError as error:
        raise MissingExtra("analytics", needed_for=f"writing {path}") from error
    out = io.BytesIO()
    try:
        schema = parquet.read_schema(io.BytesIO(like)) if like else None  # pyright: ignore[reportUnknownVariableType]
        fits = schema is not None and {name for row in rows for name in row} == set(schema.names)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema if fits else None)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        parquet.write_table(table, out)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    except (pa.ArrowException, OSError) as error:  # pyright: ignore[reportUnknownVariableType]
        raise Invalid(f"the rows do not fit into {path}: {error}", where="path") from error
    return out.getvalue()
