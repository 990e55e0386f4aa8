"""A model's card for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from tidemill.cli.figures import NOTHING, count
from tidemill.cli.screen import Tone, clean, one_line, paint, say, wrapped
from tidemill.cli.table import Cell, Column, table
from tidemill.core.json import Json, JsonObject

_TONES: Mapping[str, Tone] = {"permissive": "good", "conditions": "unsure", "unknown": "unsure", "non_commercial": "bad"}
_SHOWN = ("context", "output_limit", "inputs", "outputs", "dimensions", "open_weights", "released", "retires")
_OFFERS = 8
_NAMES = 6
_OTHERS = 3


def print_card(card: JsonObject) -> None:
    """What it is, what it can, what it costs, what may be done with it, who says so, and how to use it."""
    say(paint(clean(str(card.get("ref") or card.get("name"))), "strong") + f"   {clean(str(card.get('title') or ''))}".rstrip())
    by = f"by {card['maker']}, " if card.get("maker") else ""
    features = cast("Sequence[str]", card.get("features") or ())
    say(f"{by}{card.get('type')}{'; ' if features else ''}{', '.join(features)}")
    say()
    licence = cast("Mapping[str, Json]", card.get("licence") or {})
    say(f"{'Licence':<10}{paint(licence_text(licence), _TONES.get(str(licence.get('verdict')), 'plain'))}")
    say(f"{'':<10}{licence.get('reason')}")
    for line in _facts(cast("Mapping[str, JsonObject]", card.get("facts") or {})):
        say(line)
    for name, value in cast("Mapping[str, str]", card.get("tags") or {}).items():
        say(f"{name.replace('_', ' ').capitalize():<14}{clean(value)}  {paint('tag', 'quiet')}")
    for role, digest in cast("Mapping[str, str]", card.get("blobs") or {}).items():
        say(f"{role.capitalize():<14}{digest}")
    _print_offers(cast("Sequence[JsonObject]", card.get("offers") or ()))
    _print_origin(card)
    _print_use(card)


def licence_text(licence: Mapping[str, Json]) -> str:
    """`Apache-2.0, permissive`."""
    verdict = str(licence.get("verdict") or "unknown").replace("_", "-")
    return f"{licence['licence']}, {verdict}" if licence.get("licence") else verdict


def licence_cell(licence: Mapping[str, Json]) -> Cell:
    """The same, short and in its colour."""
    return Cell(licence_text(licence).removeprefix("LicenseRef-"), _TONES.get(str(licence.get("verdict")), "plain"))


def tokens(value: Json) -> str:
    """128000 as `128k`, 1048576 as `1.05M`."""
    if not isinstance(value, int | float):
        return NOTHING
    if value < 1000:
        return f"{value:.0f}"
    return f"{value / 1000:.0f}k" if value < 999_500 else f"{value / 1e6:.3g}M"


def _facts(facts: Mapping[str, JsonObject]) -> Iterator[str]:
    for name in _SHOWN:
        if name in facts:
            fact = facts[name]
            yield f"{name.replace('_', ' ').capitalize():<14}{_value(fact['value'])}  {paint(_origin(fact), 'quiet')}"
            yield from _others(fact)


def _others(fact: JsonObject) -> Iterator[str]:
    """Who says something else, the newest first."""
    others = [each for each in cast("Sequence[JsonObject]", fact.get("claims") or ()) if each["value"] != fact["value"]]
    for each in others[:_OTHERS]:
        yield paint(f"{'':<14}but {_value(each['value'])}  {_origin(each)}", "unsure")
    if len(others) > _OTHERS:
        yield paint(f"{'':<14}and {count(len(others) - _OTHERS)} more that differ: --json", "quiet")


def _origin(claim: JsonObject) -> str:
    at = f" at {claim['seller']}" if claim.get("seller") else ""
    return f"{claim['source']}, {claim.get('date') or 'undated'}{at}"


def _value(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    return ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else clean(str(value))


def _print_offers(offers: Sequence[JsonObject]) -> None:
    rows: list[Sequence[Cell | str]] = []
    for each in offers[:_OFFERS]:
        prices = cast("Mapping[str, JsonObject]", each.get("prices") or {})
        first = prices.get("input") or next(iter(prices.values()), None)
        differs = any(not price.get("agreed", True) for price in prices.values())
        rows.append(
            [
                str(each["provider"]),
                one_line(str(each["model"]), longest=40),
                *(_price(prices.get(name)) for name in ("input", "output", "cached")),
                Cell(f"{first['source']} {first.get('date') or 'undated'}" if first else "no price", "quiet"),
                Cell("differs", "unsure") if differs else "",
            ]
        )
    if not rows:
        return
    say()
    say("US dollars for a million tokens")
    columns = [
        Column("provider"), Column("model"), Column("in", "point"), Column("out", "point"), Column("cached", "point"),
        Column("source"), Column(""),
    ]  # fmt: skip
    for line in table(columns, rows):
        say(line)
    if len(offers) > _OFFERS:
        say(paint(f"and {count(len(offers) - _OFFERS)} more offers: --json", "quiet"))


def _price(fact: JsonObject | None) -> str:
    if fact is None:
        return NOTHING
    return f"{float(cast('float', fact['value'])):.4f}".rstrip("0").rstrip(".") or "0"


def _print_origin(card: JsonObject) -> None:
    names = cast("Sequence[str]", card.get("names") or ())
    sources = cast("Sequence[JsonObject]", card.get("sources") or ())
    if not sources:
        return
    say()
    lists = [f"{each['origin']} ({each.get('date') or 'undated'})" for each in sources]
    for title, text in (("Lists", ", ".join(lists)), ("Rule", str(card.get("rule") or ""))):
        for place, line in enumerate(wrapped(text, indent=" " * 10)):
            say(f"{title:<10}{line[10:]}" if not place else line)
    if len(names) > 1:
        rest = f" and {count(len(names) - _NAMES)} more" if len(names) > _NAMES else ""
        for place, line in enumerate(wrapped(clean(", ".join(names[:_NAMES]) + rest), indent=" " * 10)):
            say(f"{'Also':<10}{line[10:]}" if not place else line)


def _print_use(card: JsonObject) -> None:
    project = cast("Sequence[str]", card.get("project") or ())
    say()
    if project:
        say(f"{'Configured':<12}{', '.join(project)}")
    use = card.get("use")
    if card.get("configured"):
        say(f"{'Use':<10}model: {card.get('ref')}" if card.get("kind") == "model" else f"{'Use':<10}embed: {card.get('ref')}")
    elif isinstance(use, str):
        say("Use   as tidemill/models.yaml, then: tidemill apply")
        for line in use.splitlines():
            say(f"  {line}")
    else:
        say("Use   no provider of it can be called from here, or it is of a type that cannot be called yet")
