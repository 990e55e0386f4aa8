"""Cards as Markdown: the same facts, to be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from tidemill.core.digests import canonical
from tidemill.core.json import Json, JsonObject

_BREAKS = re.compile(r"\s+")


def card_markdown(card: JsonObject) -> str:
    """A system card or a model card as Markdown."""
    lines = _system(card) if card["card"] == "system" else _model(card)
    return "\n".join(lines) + "\n"


def _system(card: Mapping[str, Any]) -> list[str]:
    return [
        f"# System card: {_text(card['name'])}",
        "",
        *_facts(card, ("application", "release", "project", "description", "owner", "released", "released_by", "hermetic")),
        "## Components",
        "",
        *_table(
            ("artifact", "what it is", "digest"),
            ([each["ref"], each["description"] or each["role"], f"`{each['digest']}`"] for each in card["components"]),
        ),
        *_data(card),
        *_measurements(card),
        "## Gates",
        "",
        *_rows(card["gates"], lambda each: f"`{each['gate']}` **{each['result']}** on {each['evaluation']}, {each['at']}"),
        "## Approvals",
        "",
        *_rows(
            card["approvals"],
            lambda each: (
                f"{each['at']} {each['who']} as {each['role']}, for {each['for']}: {_text(each['reason'])}"
                + (f" (revoked {each['revoked']} by {each['revoked_by']})" if each["revoked"] else "")
                + (f" (until {each['expires']})" if each["expires"] else "")
            ),
        ),
        "## Where it served",
        "",
        *_rows(
            card["served"], lambda each: f"{each['at']} endpoint/{each['endpoint']}: {each['action']} of `{each['release']}`"
        ),
        *_limits(card),
    ]


def _model(card: Mapping[str, Any]) -> list[str]:
    licence, weights = card["licence"], card["weights"]
    return [
        f"# Model card: {_text(card['name'])}",
        "",
        *_facts(card, ("kind", "ref", "digest", "release", "description", "owner")),
        "## Weights",
        "",
        *_facts(card, ("provider", "model", "base", "organisation", "size", "architecture", "context")),
        *_facts(
            {
                "licence": licence["id"],
                "licence stated by": licence["from"],
                "file": weights["file"],
                "file digest": weights["digest"],
            },
            ("licence", "licence stated by", "file", "file digest"),
        ),
        "## Parameters",
        "",
        *_rows(sorted(card["parameters"].items()), lambda each: f"`{each[0]}` {_text(each[1])}"),
        "## Used by",
        "",
        *_rows(card["used_by"], lambda each: f"`{each}`"),
        *_measurements(card),
        *_limits(card),
    ]


def _data(card: Mapping[str, Any]) -> list[str]:
    lines = ["## Data", ""]
    for each in card["data"]:
        size = f"{each['documents']} documents, {each['chunks']} chunks" if "documents" in each else f"{each['rows']} rows"
        lines.append(f"- `{each['ref']}` for {each['used_for']}: {size}, `{each['digest']}`")
    return [*(lines if len(lines) > 2 else [*lines, "None known."]), ""]


def _measurements(card: Mapping[str, Any]) -> list[str]:
    lines = ["## Measurements", ""]
    if not card["evaluations"]:
        return [*lines, "Not measured.", ""]
    if card["card"] == "model":
        lines += ["Of the whole application, not of this model alone.", ""]
    for each in card["evaluations"]:
        lines += [
            f"On `{each['dataset']}`, {each['samples']} samples, {each['errors']} errors, {each['at']} ({each['status']}):",
            "",
            *_table(
                ("metric", "mean", "95 % interval", "n"), (_metric(name, value) for name, value in each["metrics"].items())
            ),
        ]
    return lines


def _metric(name: str, value: Mapping[str, Any]) -> list[Any]:
    low, high = value["interval"] or (None, None)
    interval = "none" if low is None else f"[{_figure(low)}, {_figure(high)}]"
    return [name, _figure(value["mean"]), interval, value["n"]]


def _limits(card: Mapping[str, Any]) -> list[str]:
    limits = card["limits"]
    return [
        "## Limits",
        "",
        *_rows(limits["measured"], lambda each: f"{each['what']}: measured in {', '.join(each['evaluations'])}"),
        *_rows(
            limits["not_measured"],
            lambda each: f"{each['what']}: **not measured** ({each['why'] if 'why' in each else '`' + each['how'] + '`'})",
        ),
    ]


def _facts(card: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return _table(("", ""), ([name.replace("_", " "), card[name]] for name in names))


def _table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    return [*lines, *(f"| {' | '.join(_text(each).replace('|', chr(92) + '|') for each in row)} |" for row in rows), ""]


def _rows(items: Sequence[Any], line: Callable[[Any], str]) -> list[str]:
    return [*[f"- {line(each)}" for each in items], ""] if items else ["None.", ""]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping | list | tuple):
        return f"`{canonical(cast('Json', value)).decode()}`"
    return _BREAKS.sub(" ", str(value)).replace("<", "&lt;")


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
