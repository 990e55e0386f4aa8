"""`tidemill traces`: what ran, step by step."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.cli.feedback import describe
from tidemill.cli.figures import duration, moment, money, short
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import one_line, say, say_json
from tidemill.cli.table import Cell, Column, table
from tidemill.cli.traces_erase import erase_traces
from tidemill.cli.traces_query import NUMBERS
from tidemill.cli.tree import trace_tree

_SHORTEST = 12


async def list_traces(*, q: str | None = None, limit: int = 20, options: Options = DEFAULTS) -> None:
    """List traces, the newest first.

    :param q: Only traces with these words in an input or output.
    :param limit: At most N.
    """
    async with open_client(options) as client:
        traces = await client.traces(q=q, limit=limit)
    if options.json:
        say_json({"items": traces})
        return
    ids = shortened([each.get("id", "") for each in traces])
    rows = [
        [
            name,
            moment(each, "start", "start_ns"),
            one_line(each.get("name", ""), longest=24),
            Cell(each.get("status", ""), "bad" if each.get("status") == "error" else "plain"),
            duration(each.get("duration_ms")),
            money(each.get("cost")),
            short(each.get("release")),
        ]
        for name, each in zip(ids, traces, strict=True)
    ]
    columns = [
        Column("id"), Column("start"), Column("name"), Column("status"), Column("took", "point"),
        Column("cost", "point"), Column("release"),
    ]  # fmt: skip
    for line in table(columns, rows) if rows else ["no trace yet: tidemill run"]:
        say(line)


async def show_trace(trace: str, /, *, full: bool = False, options: Options = DEFAULTS) -> None:
    """Show one trace as a tree: what called what, how long it took, what it cost.

    :param trace: The trace's id, or its beginning.
    :param full: Print inputs and outputs in full.
    """
    async with open_client(options) as client:
        found = await client.trace(trace)
    if options.json:
        say_json(found)
        return
    for line in trace_tree(found, full=full):
        say(line)
    said = found.get("feedback", ())
    for place, each in enumerate(said):
        who = f"   {one_line(each.get('user') or each.get('source') or '', longest=20)}"
        say(f"{'feedback' if not place else '':<10}{describe(each)}{who}")


def shortened(ids: Sequence[str]) -> list[str]:
    """The shortest beginnings, of one length, that tell these ids apart."""
    length = _SHORTEST
    while len({each[:length] for each in ids}) < len(set(ids)):
        length += 1
    return [each[:length] for each in ids]


COMMANDS = {"list": list_traces, "show": show_trace, "erase": erase_traces, **NUMBERS}
