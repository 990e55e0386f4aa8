"""`tidemill data from-traces`: samples made of what applications were asked, and of what was said of the answers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tidemill.cli.figures import as_text, counted
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, in_terminal, note, one_line, say, say_json, width
from tidemill.core.refs import parse_ref

if TYPE_CHECKING:
    from tidemill.client.feedback import FromTracesJson

_SHOWN = 5
_LINKS = frozenset({"id", "trace", "release", "traces", "feedback"})


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which traces, and what to make of them."""

    filter: str | None = None
    """Only traces that meet this, as in "endpoint=handbook status=ok" or "model = gpt-4o and user exists"."""

    q: str | None = None
    """Only traces with these words in an input or output."""

    since: str | None = None
    """Only from this time on, or so long ago, as in 24h."""

    until: str | None = None
    """Only before this time, as in 2026-01-31T12:00:00Z."""

    limit: int = 1000
    """At most N samples, the newest."""

    pairs: bool = False
    """Preference pairs: of a correction under a thumbs down, prompt, chosen and rejected."""

    labelled: bool = False
    """Only samples that have a reference."""


ALL = Choice()


async def from_traces(
    *,
    to: str,
    choice: Choice = ALL,
    accept: bool = False,
    print_rows: Annotated[bool, Parameter(name="--print")] = False,
    options: Options = DEFAULTS,
) -> int:
    """Make samples of what applications were asked and what was said of the answers.

    They become a new version of the dataset. A correction becomes the reference, an output with a thumbs up too. Asks first in
    a terminal; a script is not asked.

    :param to: The dataset, as in dataset/questions; it is made when it is missing.
    :param accept: Do not ask.
    :param print_rows: Print the samples as JSON lines and change nothing.
    """
    asks = not (accept or print_rows or options.json) and in_terminal(sys.stdin) and in_terminal()
    async with open_client(options) as client:
        make = partial(
            client.samples_from_traces, to, filter=choice.filter, q=choice.q, since=choice.since, until=choice.until,
            limit=choice.limit, pairs=choice.pairs, labelled=choice.labelled,
        )  # fmt: skip
        made = await make(dry_run=asks or print_rows)
        if asks and made.get("added", 0) + made.get("filled", 0):
            _print_samples(made)
            if not await _agreed():
                note("nothing was added")
                return 1
            made = await make()
    if print_rows:
        _print_rows(made)
    elif options.json:
        say_json(made)
    else:
        _print_made(made, to)
    return 0


async def _agreed() -> bool:
    import anyio.to_thread

    answer = await anyio.to_thread.run_sync(partial(input, "Add them? [y/N] "), abandon_on_cancel=True)
    return answer.strip().lower() in {"y", "yes"}


def _print_rows(made: FromTracesJson) -> None:
    import orjson

    for row in made.get("samples", ()):
        say(orjson.dumps(row).decode())


def _print_samples(made: FromTracesJson) -> None:
    rows = made.get("samples", ())
    for row in rows[:_SHOWN]:
        shown = [as_text(value) for name, value in row.items() if name not in _LINKS and value is not None]
        say("  " + one_line("  ->  ".join(shown), longest=width() - 2))
    if len(rows) > _SHOWN:
        say(f"  and {len(rows) - _SHOWN} more")


def _print_made(made: FromTracesJson, to: str) -> None:
    name = made.get("dataset") or str(parse_ref(to, kind="dataset"))
    filled = f", {made.get('filled')} got a reference" if made.get("filled") else ""
    known = f", {made.get('known')} were there" if made.get("known") else ""
    joined = f", {made.get('joined')} asked the same as another" if made.get("joined") else ""
    say(f"{name}   {counted(made.get('rows', 0), 'row')}")
    say(f"{'Added':<10}{counted(made.get('added', 0), 'sample')}{filled}{known}")
    say(f"{'From':<10}{counted(made.get('traces', 0), 'trace')}{joined}")
    for place, (why, number) in enumerate(sorted(made.get("skipped", {}).items())):
        say(f"{'' if place else 'Left out':<10}{number}  {clean(why)}")
