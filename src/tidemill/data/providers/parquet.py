"""Rows of a Parquet file, through pyarrow."""

from __future__ import annotations

import io
from collections.abc import Mapping

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
