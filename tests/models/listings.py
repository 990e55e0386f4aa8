"""Rows of lists, made by hand, and the three catalogues of the shared data as rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from tidemill.core.json import Json
from tidemill.models.catalogue_listing import Listing, Source
from tidemill.models.catalogue_names import seller_of
from tidemill.models.providers import litellm_list, models_dev_list


def row(
    source: str = "one",
    seller: str = "openai",
    id: str = "gpt-9",  # noqa: A002  (the field's name)
    *,
    date: str = "",
    rank: int = 1,
    **facts: Json,
) -> Listing:
    return Listing(source=Source(name=source, origin=source, date=date, rank=rank), seller=seller, id=id, facts=facts)


def shared_catalogues(folder: Path) -> list[Listing]:
    """The three catalogues that disagree."""

    def lines(name: str) -> Iterator[dict[str, Json]]:
        with gzip.open(folder / name, "rt", encoding="utf-8") as file:
            yield from (json.loads(line) for line in file.read().split("\n") if line)

    return [
        *models_dev_list.listings(lines("models_dev.jsonl.gz"), origin="models.dev"),
        *litellm_list.listings(lines("litellm.jsonl.gz"), origin="litellm"),
        *_prices(json.loads((folder / "genai_prices.json").read_text("utf-8"))),
    ]


def _prices(sellers: list[dict[str, Json]]) -> Iterator[Listing]:
    source = Source(name="genai-prices", origin="genai-prices", rank=0)
    for seller in sellers:
        for model in seller["models"]:
            prices = model["prices"][-1]["prices"] if isinstance(model["prices"], list) else model["prices"]
            plain = {name: each["base"] if isinstance(each, dict) else each for name, each in prices.items()}
            facts = {f"{name}_price": float(plain[f"{name}_mtok"]) for name in ("input", "output") if f"{name}_mtok" in plain}
            if model.get("context_window"):
                facts["context"] = model["context_window"]
            yield Listing(source=source, seller=seller_of(seller["id"]), id=model["id"], facts=facts)
