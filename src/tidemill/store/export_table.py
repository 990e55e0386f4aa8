"""The samples of evaluations as Parquet, a row for each score."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from tidemill.core.json import Json, dump_json

_BATCH: Final = 2000
_COLUMNS: Final = (
    ("evaluation", "string"), ("sample", "string"), ("replicate", "int64"), ("metric", "string"), ("value", "double"),
    ("error", "string"), ("data", "string"),
)  # fmt: skip


def write_samples(rows: Iterable[Mapping[str, Json]], path: Path) -> bool:
    """Write a table of samples, a batch at a time; False, and nothing is written, where pyarrow is not installed.

    A sample without a score has one row with an empty metric. `data` is all that the sample gave, as JSON, in its first row.
    """
    if importlib.util.find_spec("pyarrow") is None:
        return False
    pa: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    schema = pa.schema([(name, getattr(pa, "float64" if kind == "double" else kind)()) for name, kind in _COLUMNS])
    told = _scores(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(told, _BATCH)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
    return True


def _scores(rows: Iterable[Mapping[str, Json]]) -> Iterator[dict[str, Json]]:
    for row in rows:
        data = row["data"]
        at = {name: row[name] for name in ("evaluation", "sample", "replicate")}
        text = dump_json(data).decode()
        scores, errors = _part(data, "scores"), _part(data, "score_errors")
        if not scores:
            yield {**at, "metric": None, "value": None, "error": None, "data": text}
        for number, (metric, value) in enumerate(scores.items()):
            yield {**at, "metric": metric, "value": value, "error": errors.get(metric), "data": text if number == 0 else None}


def _part(data: Json, name: str) -> Mapping[str, Json]:
    part = data.get(name) if isinstance(data, Mapping) else None
    return part if isinstance(part, Mapping) else {}
