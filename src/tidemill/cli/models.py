"""`tidemill models`: find models, read their cards, compare them, add your own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, cast

from cyclopts import Parameter

from tidemill.cli.figures import NOTHING, count
from tidemill.cli.model_card import licence_cell, print_card, tokens
from tidemill.cli.models_add import add_model
from tidemill.cli.models_compare import compare_models
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import one_line, paint, say, say_json
from tidemill.cli.table import Cell, Column, table

if TYPE_CHECKING:
    from tidemill.client.catalogue import ModelsJson
    from tidemill.core.json import Json

_LONGEST_NAME = 44
_FACETS_SHOWN = 8


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class Facets:
    """What to look for."""

    q: str = ""
    """Words in any name that the model has."""

    provider: tuple[str, ...] = ()
    """Who sells it, as in groq; local for what runs here."""

    maker: tuple[str, ...] = ()
    """Who made it, as in mistral."""

    type: tuple[str, ...] = ()
    """What it does: chat, embedding, rerank, image, …"""

    modality: tuple[str, ...] = ()
    """What goes in (text, image, audio, video, pdf) or comes out (to-text, to-image, …)."""

    feature: tuple[str, ...] = ()
    """tools, json_schema, reasoning, prompt_caching, …"""

    licence: tuple[str, ...] = ()
    """permissive, conditions, non_commercial, terms or unknown; or an SPDX identifier."""

    max_price: float | None = None
    """At most so many US dollars for a million input tokens."""

    min_context: int | None = None
    """A context of at least so many tokens."""

    configured: bool = False
    """Only the project's own models and embedders."""


_ANY = Facets()


async def list_models(*, wanted: Facets = _ANY, facets: bool = False, limit: int = 30, options: Options = DEFAULTS) -> None:
    """Find models: the project's own first, then those of the catalogue.

    Options narrow each other down; one that is given twice asks for both, and of providers, makers, types and licences for any.

    :param facets: Show by which values the search can be narrowed down.
    :param limit: How many to show.
    """
    async with open_client(options) as client:
        found = await client.models(**{each.name: getattr(wanted, each.name) for each in fields(wanted)}, limit=limit)
    if options.json:
        say_json(found)
        return
    _print_list(found)
    if facets:
        _print_facets(found)


async def show_model(name: str, /, *, provider: str | None = None, options: Options = DEFAULTS) -> None:
    """Show a model's card: limits, prices, licence, who says so, and how to use it.

    :param name: Any name that a list has for it, or model/NAME or embedder/NAME of the project.
    :param provider: Whom to use it from; default: its maker, else the cheapest that can be reached.
    """
    async with open_client(options) as client:
        card = await client.model_card(name, provider=provider)
    if options.json:
        say_json(card)
    else:
        print_card(card)


def _print_list(found: ModelsJson) -> None:
    items = found.get("items", ())
    columns = [
        Column("model"), Column("maker"), Column("context", "right"), Column("in $/M", "point"), Column("out $/M", "point"),
        Column("licence"),
    ]  # fmt: skip
    for line in table(columns, [_row(each) for each in items]) if items else ["no model has all of that"]:
        say(line)
    total = found.get("total", len(items))
    say()
    more = f"the first {count(len(items))} of {count(total)}" if total > len(items) else count(total)
    say(f"{more}   narrow it with --q, --provider, --feature …; --facets shows what there is")


def _row(item: Mapping[str, Json]) -> Sequence[Cell | str]:
    price = cast("Mapping[str, float | None]", item.get("price") or {})
    name = one_line(str(item.get("ref") or item.get("name")), longest=_LONGEST_NAME)
    provider = str(next(iter(cast("Sequence[str]", item.get("providers") or ("",)))))
    return [
        Cell(name, "strong") if item.get("configured") else name,
        str(item.get("maker") or (provider if item.get("configured") else NOTHING)),
        tokens(item.get("context")),
        dollars(price.get("input")),
        dollars(price.get("output")),
        licence_cell(cast("Mapping[str, Json]", item.get("licence") or {})),
    ]


def dollars(price: float | None) -> str:
    """A price a million tokens; 0 as `0`."""
    return NOTHING if price is None else f"{price:.4f}".rstrip("0").rstrip(".") if price else "0"


def _print_facets(found: ModelsJson) -> None:
    say()
    for name, values in found.get("facets", {}).items():
        shown = [f"{value} {paint(count(number), 'quiet')}" for value, number in list(values.items())[:_FACETS_SHOWN]]
        rest = f"  and {count(len(values) - _FACETS_SHOWN)} more" if len(values) > _FACETS_SHOWN else ""
        say(f"--{name:<10}{'  '.join(shown)}{rest}")


COMMANDS = {"list": list_models, "show": show_model, "compare": compare_models, "add": add_model}
