"""`tidemill maturity`: how the project is run, from what the platform has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import paint, say, say_json
from tidemill.cli.table import Cell, Column, table


async def maturity(*, options: Options = DEFAULTS) -> None:
    """Score how MLOps and GenAIOps are done here, 0 to 4, and name the next three steps.

    Nobody is asked: every criterion is a count of what happened.
    """
    async with open_client(options) as client:
        found = await client.maturity()
    if options.json:
        say_json(found)
        return
    for practice in cast("Sequence[Mapping[str, Any]]", found["practices"]):
        seen = f"{practice['met']} of {practice['of']} criteria"
        say(f"{practice['practice']:<10}level {practice['level']} of 4, {practice['name']}   {seen}")
        rows = [
            [
                f"  {each['level']}",
                Cell("yes", "good") if each["met"] else Cell("no", "quiet"),
                each["what"],
                f"{each['count']} of {each['needed']}" if not each["met"] else str(each["count"]),
            ]
            for each in practice["criteria"]
        ]
        for line in table([Column("level", "right"), Column("seen"), Column("criterion"), Column("count", "right")], rows):
            say(line)
        say()
    say(paint(f"Rule      {found['rule']}", "quiet"))
    for line in cast("Sequence[str]", found.get("unknown", ())):
        say(paint(f"Unknown   {line}", "unsure"))
    for number, each in enumerate(cast("Sequence[Mapping[str, Any]]", found["next"])):
        say(f"{'Next' if not number else '':<10}{each['command']}")
        say(paint(f"{'':<10}  so that {each['what']} ({each['practice']} level {each['level']})", "quiet"))


COMMAND = maturity
