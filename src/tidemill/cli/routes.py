"""`tidemill routes`: several models behind one name, and how each does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from tidemill.cli.figures import count, duration
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import Tone, clean, one_line, say, say_json
from tidemill.cli.table import Cell, Column, table
from tidemill.core.json import JsonObject

_TONES: Mapping[str, Tone] = {"closed": "good", "half_open": "unsure", "open": "bad"}


async def list_routes(*, options: Options = DEFAULTS) -> None:
    """List routes, with their targets."""
    async with open_client(options) as client:
        found = await client.routes()
    if options.json:
        say_json({"items": found})
        return
    rows = [
        [str(each.get("ref")), str(each.get("strategy")), ", ".join(map(str, cast("Sequence[str]", each.get("targets"))))]
        for each in found
    ]
    columns = [Column("route"), Column("strategy"), Column("targets")]
    for line in table(columns, rows) if rows else ["no route yet: write a document of kind route, and tidemill apply"]:
        say(line)


async def show(route: str, /, *, environment: str | None = None, options: Options = DEFAULTS) -> None:
    """Show how a route's targets do: breakers, latencies, shares.

    :param route: The route, as in route/answers.
    :param environment: Of calls in this environment. Default: the server's own.
    """
    async with open_client(options) as client:
        found = await client.route(route, environment=environment)
    if options.json:
        say_json(found)
        return
    say(f"{found.get('ref')}   {found.get('strategy')}   {found.get('environment')}   {_requests(found)}")
    targets = cast("Sequence[JsonObject]", found.get("targets"))
    columns = [
        Column("target"), Column("breaker"), Column("share", "point"), Column("attempts", "right"), Column("p50", "right"),
        Column("p95", "right"), Column("now", "right"), Column("failures"),
    ]  # fmt: skip
    for line in table(columns, [_row(each) for each in targets], indent="  "):
        say(line)
    for each in targets:
        if each.get("last_failure"):
            say(f"  {each.get('model')}  last failed: {one_line(clean(str(each.get('last_failure'))), longest=80)}")
    say("as this server has seen it since it began")


def _requests(found: JsonObject) -> str:
    requests, unserved = cast("int", found.get("requests", 0)), cast("int", found.get("unserved", 0))
    return f"{count(requests)} requests" + (f", {count(unserved)} not answered" if unserved else "")


def _row(target: JsonObject) -> list[Cell | str]:
    state = str(target.get("breaker"))
    waits = cast("float", target.get("opens_in") or 0)
    cooling = cast("float", target.get("cooling") or 0)
    said = state.replace("_", " ") + (f", {waits:.0f} s" if waits else "") + (f", limited {cooling:.0f} s" if cooling else "")
    share = cast("float | None", target.get("share"))
    times = cast("Mapping[str, float]", target.get("latency_ms") or target.get("first_token_ms") or {})
    failures = cast("Mapping[str, int]", target.get("failures") or {})
    return [
        str(target.get("model")),
        Cell(said, "unsure" if cooling and state == "closed" else _TONES.get(state, "plain")),
        "" if share is None else f"{share:.1%}",
        count(cast("int", target.get("attempts", 0))),
        duration(times["p50"]) if times else "",
        duration(times["p95"]) if times else "",
        count(cast("int", target.get("outstanding", 0))),
        ", ".join(f"{kind} {number}" for kind, number in failures.items()),
    ]


COMMANDS = {"list": list_routes, "show": show}
