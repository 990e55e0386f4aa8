"""What stands on a thing, in words: live endpoints first, then what it went into and how many requests it answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from tidemill.cli.figures import count, counted, moment
from tidemill.cli.screen import clean, cut, paint, width
from tidemill.cli.table import Cell, Column, table
from tidemill.core.json import JsonObject

_FIRST: Final = ("document", "index", "dataset", "prompt", "model", "adapter", "chain", "agent", "release")
_NAMED: Final = 4


def impact_lines(found: JsonObject) -> list[str]:
    """The whole answer."""
    document = cast("Mapping[str, Any]", found)
    lines = [paint(clean(str(document["of"])), "strong"), ""]
    lines += [*_endpoints(document["endpoints"]), *_made(document), *_requests(document)]
    if document["truncated"]:
        lines.append(paint("There is more than was followed: the counts are at least these.", "unsure"))
    return [*lines, *_next(document)]


def _endpoints(endpoints: Sequence[Mapping[str, Any]]) -> list[str]:
    if not endpoints:
        return [paint("No endpoint serves it, and none did", "good"), ""]
    live = [each for each in endpoints if each["state"] == "live"]
    verb = "serves" if len(live) == 1 else "serve"
    title = f"{counted(len(live), 'endpoint')} {verb} it now" if live else "No endpoint serves it now"
    rows = [
        [
            clean(each["ref"]),
            Cell("live" if each["state"] == "live" else "once", "bad" if each["state"] == "live" else "quiet"),
            _share(each),
            moment(each, "first_request"),
            moment(each, "last_request"),
        ]
        for each in endpoints
    ]
    columns = [Column("endpoint"), Column(""), Column("requests", "right"), Column("first"), Column("last")]
    return [paint(title, "bad" if live else "plain"), *table(columns, rows, indent="  "), ""]


def _share(each: Mapping[str, Any]) -> str:
    if each["requests"] is None:
        return "not known"
    return count(each["requests"]) if each["used"] is None else f"{count(each['used'])} of {count(each['requests'])}"


def _made(document: Mapping[str, Any]) -> list[str]:
    counts = cast("Mapping[str, int]", document["counts"])
    kinds = cast("Mapping[str, Sequence[Mapping[str, Any]]]", document["kinds"])
    order = [*(each for each in _FIRST if each in counts), *(each for each in counts if each not in _FIRST)]
    rows: list[list[Cell | str]] = []
    for kind in order:
        if kind == "endpoint":
            continue
        listed = document["releases"] if kind == "release" else kinds.get(kind, ())
        named = ", ".join(_named(each) for each in listed[:_NAMED])
        rows.append([kind, count(counts[kind]), named + (", …" if counts[kind] > _NAMED else "")])
    if not rows:
        return ["Nothing was made of it", ""]
    return ["It went into", *table([Column("kind"), Column("count", "right"), Column("newest")], rows, indent="  "), ""]


def _named(each: Mapping[str, Any]) -> str:
    state = f" ({clean(each['state'])})" if each["state"] in {"deleted", "erased", "not kept"} else ""
    return clean(each["ref"]) + state


def _requests(document: Mapping[str, Any]) -> list[str]:
    asked = cast("Mapping[str, Any] | None", document["requests"])
    if asked is None:
        return ["Answered requests are not known: traces need the extra analytics", ""]
    served, used = asked["served"], asked["used"]
    if used is None:
        lines = [f"{counted(served['requests'], 'request')} answered by releases that hold it" + _evaluated(served)]
    else:
        lines = [
            f"{counted(used['requests'], 'request')} used it: a retriever found a piece of it" + _evaluated(used),
            f"{counted(served['requests'], 'request')} answered by releases that hold it" + _evaluated(served),
        ]
    shown = served if used is None else used
    if shown["first_request"]:
        lines.append(f"  first {moment(shown, 'first_request')}   last {moment(shown, 'last_request')}")
    if asked["untold"]:
        lines.append(
            f"  {counted(asked['untold'], 'request')} more cannot be told: what was found was too long to be kept whole"
        )
    return [*(cut(each, width()) for each in lines), ""]


def _evaluated(rows: Mapping[str, Any]) -> str:
    return f", and {count(rows['evaluated'])} in evaluations" if rows["evaluated"] else ""


def _next(document: Mapping[str, Any]) -> list[str]:
    """What to type next."""
    asked = cast("Mapping[str, Any] | None", document["requests"]) or {}
    commands: list[str] = []
    for each in document["endpoints"]:
        if each["state"] == "live":
            commands.append(f"tidemill lineage {_quoted(document['of'])} --to {clean(each['ref'])}")
            commands.append(f"tidemill rollback {clean(each['ref'])}")
            break
    if asked.get("newest"):
        commands.append(f"tidemill lineage {asked['newest'][0]} --up")
        commands.append(f"tidemill traces show {str(asked['newest'][0]).removeprefix('trace/')}")
    if not commands:
        commands.append(f"tidemill lineage {_quoted(document['of'])} --down")
    return [f"{'Next' if not place else '':<10}{each}" for place, each in enumerate(commands)]


def _quoted(ref: str) -> str:
    plain = clean(ref)
    return plain if all(char.isalnum() or char in "/#@:._-" for char in plain) else "'" + plain.replace("'", "'\\''") + "'"
