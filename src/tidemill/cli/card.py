"""Which card is meant, and cards as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from tidemill.core.errors import NotFound
from tidemill.core.json import JsonObject
from tidemill.core.suggest import did_you_mean


def choose(cards: JsonObject, model: str | None) -> JsonObject:
    """The system card, or that of the model named. Raises `NotFound` with the nearest name."""
    if model is None:
        return cast("JsonObject", cards["system"])
    models = cast("Sequence[Mapping[str, str]]", cards["models"])
    named = {f"{each['kind']}/{each['name']}": each for each in models}
    found = named.get(model.partition("@")[0]) or next((each for each in models if each["name"] == model), None)
    if found is None:
        raise NotFound(f"the release has no model {model!r}", hint=did_you_mean(model, named))
    return found


async def write_cards(cards: JsonObject, folder: Path) -> list[Path]:
    """Write every card as Markdown and JSON; the files written."""
    import anyio
    import orjson

    target = anyio.Path(folder)
    await target.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    models = cast("Sequence[JsonObject]", cards["models"])
    for name, each in [("system", cast("JsonObject", cards["system"])), *((f"{m['kind']}-{m['name']}", m) for m in models)]:
        await (target / f"{name}.md").write_text(str(each["markdown"]), "utf-8")
        content = {key: value for key, value in each.items() if key != "markdown"}
        await (target / f"{name}.json").write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
        written += [folder / f"{name}.md", folder / f"{name}.json"]
    return written
