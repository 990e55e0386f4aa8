"""`tidemill traces`: what ran, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from tidemill.cli.feedback import describe
from tidemill.cli.figures import duration, moment, money, short
from tidemill.cli.messages import conversation
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, note, one_line, say, say_json
from tidemill.cli.table import Cell, Column, table
from tidemill.cli.tree import trace_tree

if TYPE_CHECKING:
    from tidemill.client.score_shapes import TraceScoreJson
    from tidemill.client.shapes import TraceJson

_SHORTEST = 12
_ORDERS: dict[str, Literal["-start", "-latency", "-cost", "-tokens"]] = {
    "newest": "-start", "slowest": "-latency", "dearest": "-cost", "largest": "-tokens",
}  # fmt: skip


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class Narrowed:
    """Which traces."""

    filter: str | None = None
    """An expression: model = "x" and latency > 2s and output ~ "refund"."""

    from_: Annotated[str | None, Parameter(name="--from")] = None
    """From then on: a time, or so long ago, as in 2h."""

    to: str | None = None
    """Until then, as --from."""


ALL = Narrowed()


async def list_traces(
    *,
    q: str | None = None,
    narrowed: Narrowed = ALL,
    saved: str | None = None,
    order: Literal["newest", "slowest", "dearest", "largest"] = "newest",
    limit: int = 20,
    options: Options = DEFAULTS,
) -> None:
    """List traces, the newest first.

    :param q: Only traces with these words in an input or output.
    :param saved: Only what a saved query finds.
    :param order: The newest, slowest, dearest, or largest (by tokens) first.
    :param limit: At most N.
    """
    async with open_client(options) as client:
        traces = await client.traces(
            q=q, filter=narrowed.filter, saved=saved, from_=narrowed.from_, to=narrowed.to, order=_ORDERS[order], limit=limit
        )
    if options.json:
        say_json({"items": traces})
        return
    nothing = "no trace yet: tidemill run" if narrowed == ALL and not q and not saved else "no trace is like that"
    say_traces(traces, nothing=nothing)


def say_traces(traces: Sequence[TraceJson], *, nothing: str, heading: bool = True) -> None:
    """Print traces as a table."""
    ids = shortened([each.get("id", "") for each in traces])
    rows = [trace_row(name, each) for name, each in zip(ids, traces, strict=True)]
    for line in table(COLUMNS, rows, heading=heading) if rows else [nothing]:
        say(line)


def trace_row(name: str, trace: TraceJson) -> list[Cell | str]:
    """A line of a list."""
    return [
        name,
        moment(trace, "start", "start_ns"),
        one_line(trace.get("name", ""), longest=24),
        Cell(trace.get("status", ""), "bad" if trace.get("status") == "error" else "plain"),
        duration(trace.get("duration_ms")),
        money(trace.get("cost")),
        short(trace.get("release")),
    ]


COLUMNS = (
    Column("id"), Column("start"), Column("name"), Column("status"), Column("took", "point"), Column("cost", "point"),
    Column("release"),
)  # fmt: skip


async def show_trace(
    trace: str, /, *, full: bool = False, messages: bool = False, events: bool = False, options: Options = DEFAULTS
) -> None:
    """Show one trace as a tree: what called what, how long it took, what it cost.

    :param trace: The trace's id, or its beginning.
    :param full: Print inputs and outputs in full, also those kept apart for their size.
    :param messages: Print the conversation with each model instead of the tree.
    :param events: Print what happened within the spans too.
    """
    async with open_client(options) as client:
        found = await client.trace(trace, full=full)
    if options.json:
        say_json(found)
        return
    for line in conversation(found, full=full) if messages else trace_tree(found, full=full, events=events):
        say(line)
    for span in found.get("spans", ()):
        for each in span.get("notes", ()):
            note(f"{one_line(span.get('name', ''), longest=24)}: {one_line(each, longest=160)}")
    said = found.get("feedback", ())
    for place, each in enumerate(each for each in found.get("scores", ()) if each.get("source") != "feedback"):
        say(f"{'scores' if not place else '':<10}{_score(each)}")
    for place, each in enumerate(said):
        who = f"   {one_line(each.get('user') or each.get('source') or '', longest=20)}"
        say(f"{'feedback' if not place else '':<10}{describe(each)}{who}")


def _score(score: TraceScoreJson) -> str:
    value = score.get("value")
    shown = "" if value is None else f" {value:.4g}"
    text = one_line(score.get("text") or "", longest=48)
    return f"{clean(score.get('name', ''))}{shown}{f'  {text}' if text else ''}   {clean(score.get('source', ''))}"


def shortened(ids: Sequence[str]) -> list[str]:
    """The shortest beginnings, of one length, that tell these ids apart."""
    length = _SHORTEST
    while len({each[:length] for each in ids}) < len(set(ids)):
        length += 1
    return [each[:length] for each in ids]
