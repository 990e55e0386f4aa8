"""Rows of LiteLLM's price and context list: as llmprice-kit, litellm itself or tokencost carry it.

Only the data file is read; the code of those packages is not imported.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import orjson

from tidemill.core.json import Json, JsonObject
from tidemill.models.catalogue_listing import Listing, Source
from tidemill.models.catalogue_names import seller_of
from tidemill.models.providers.carried import carried, origin

_CARRIERS = (
    ("llmprice-kit", "llmprice/data/model_prices.json"),  # its version is the list's date, which litellm's does not tell
    ("litellm", "litellm/model_prices_and_context_window_backup.json"),
    ("tokencost", "tokencost/model_prices.json"),
)
_COSTS = {
    "input_cost_per_token": "input_price", "output_cost_per_token": "output_price",
    "cache_read_input_token_cost": "cached_price", "cache_creation_input_token_cost": "cache_write_price",
}  # fmt: skip
_FLAGS = {
    "supports_function_calling": "tools", "supports_parallel_function_calling": "parallel_tools",
    "supports_response_schema": "json_schema", "supports_reasoning": "reasoning", "supports_prompt_caching": "prompt_caching",
    "supports_web_search": "web_search", "supports_computer_use": "computer_use", "supports_system_messages": "system_prompt",
}  # fmt: skip
_INPUTS = {
    "supports_vision": "image", "supports_image_input": "image", "supports_audio_input": "audio", "supports_pdf_input": "pdf",
    "supports_video_input": "video",
}  # fmt: skip
_OUTPUTS = {
    "embedding": "embedding", "image_generation": "image", "image_edit": "image", "video_generation": "video",
    "audio_speech": "audio", "audio_transcription": "text", "chat": "text", "completion": "text", "responses": "text",
}  # fmt: skip
_TYPES = {
    "chat": "chat", "responses": "chat", "completion": "completion", "embedding": "embedding", "rerank": "rerank",
    "image_generation": "image", "image_edit": "image", "video_generation": "video", "audio_speech": "speech",
    "audio_transcription": "transcription", "moderation": "moderation", "realtime": "chat", "ocr": "ocr", "search": "search",
}  # fmt: skip
_SIZE_CLASS = re.compile(r"(?:up-to|above|\d+(?:\.\d+)?[bm]-to|\d+(?:\.\d+)?b-\d)|default$|^sample_spec$")
_PICTURE_SIZE = re.compile(r"^(?:\d+-x-\d+|(?:high|low|medium|standard|hd|auto)/\d+)")
_DATE = re.compile(r"^(20\d\d)\.(\d{1,2})\.(\d{1,2})$")


def read() -> Iterator[Listing]:
    """Every row of the first carrier that is installed; nothing when none is."""
    for distribution, path in _CARRIERS:
        file = carried(distribution, path)
        if file is not None:
            table = cast("Mapping[str, JsonObject]", orjson.loads(file.read_bytes()))
            rows = ({**row, "model": name} for name, row in table.items())
            yield from listings(rows, origin=origin(distribution), date=_released(distribution))
            return


def listings(rows: Iterable[JsonObject], *, origin: str, date: str = "") -> Iterator[Listing]:
    """Rows as LiteLLM writes them, with `model`. What is no model (a size class, a picture's size) is left out."""
    note = "the carrier's version" if date else ""
    source = Source(name="litellm", origin=origin, date=date, rank=3, note=note)
    for row in rows:
        name, seller = row.get("model"), row.get("litellm_provider")
        if not isinstance(name, str) or not isinstance(seller, str) or " " in seller:
            continue
        own = _own_id(name, seller)
        if own and not _SIZE_CLASS.search(own) and not _PICTURE_SIZE.search(own):
            yield Listing(source=source, seller=seller_of(seller), id=own, facts=_facts(row))


def _own_id(name: str, seller: str) -> str:
    """The seller's own id: without the list's prefixes of seller and region."""
    if _PICTURE_SIZE.search(name):
        return ""
    first, slash, rest = name.partition("/")
    prefix = first.replace("_", "-")
    plain = seller.replace("_", "-")
    if slash and (prefix == plain or plain.startswith(prefix) or seller_of(prefix) == seller_of(seller)):
        name = rest
    if seller.startswith(("bedrock", "azure")) and "/" in name and not name.startswith("arn:"):
        name = name.rsplit("/", 1)[-1]  # us-east-1/…, eu/…: a region's price
    return name


def _facts(row: JsonObject) -> dict[str, Json]:
    facts: dict[str, Json] = {}
    for theirs, ours in _COSTS.items():
        price = row.get(theirs)
        if isinstance(price, int | float) and not isinstance(price, bool) and price >= 0:
            facts[ours] = round(float(price) * 1e6, 6)
    for ours, value in (
        ("context", row.get("max_input_tokens") or row.get("max_tokens")),
        ("output_limit", row.get("max_output_tokens")),
        ("dimensions", row.get("output_vector_size")),
    ):
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            facts[ours] = int(value)
    for theirs, ours in _FLAGS.items():
        if isinstance(row.get(theirs), bool):
            facts[ours] = row[theirs]
    mode = str(row.get("mode") or "")
    if mode in _TYPES:
        facts["type"] = _TYPES[mode]
    facts.update(_modalities(row, mode))
    if isinstance(row.get("deprecation_date"), str):
        facts["retires"] = row["deprecation_date"]
    return facts


def _modalities(row: JsonObject, mode: str) -> dict[str, Json]:
    """Named outright, or put together from what the row says that it supports."""
    found: dict[str, Json] = {}
    named = row.get("supported_modalities")
    if isinstance(named, Sequence) and not isinstance(named, str):
        found["inputs"] = sorted({str(each) for each in named})
    elif mode in {"chat", "completion", "responses", "embedding"}:
        found["inputs"] = sorted({"text"} | {kind for flag, kind in _INPUTS.items() if row.get(flag) is True})
    named = row.get("supported_output_modalities")
    if isinstance(named, Sequence) and not isinstance(named, str):
        found["outputs"] = sorted({str(each) for each in named})
    elif mode in _OUTPUTS:
        found["outputs"] = [_OUTPUTS[mode]]
    return found


def _released(distribution: str) -> str:
    """The day in a version such as 2026.4.3; empty for other versions."""
    found = _DATE.match(importlib.metadata.version(distribution))
    return "" if found is None else f"{found[1]}-{int(found[2]):02}-{int(found[3]):02}"
