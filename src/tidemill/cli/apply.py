"""`tidemill apply`: make the project's files the latest versions, all or none."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tidemill.cli.failures import report
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.plan import changed, print_changes, print_consequences, print_notes
from tidemill.cli.progress import follow_job
from tidemill.cli.screen import in_terminal, note, say, say_json
from tidemill.core.errors import Conflict, Denied, Invalid, NotFound

if TYPE_CHECKING:
    from tidemill.client import AsyncClient, Collected
    from tidemill.client.shapes import Applied


async def apply(*, yes: Annotated[bool, Parameter(name=["--yes", "-y"])] = False, options: Options = DEFAULTS) -> int:
    """Make the project's files the latest versions, all of them or none, and build the indexes that changed.

    Asks first in a terminal; a script is not asked.

    :param yes: Do not ask.
    """
    import anyio.to_thread

    from tidemill.client import collect

    async with open_client(options) as client:
        try:
            files = await anyio.to_thread.run_sync(collect, client.settings)
            for each in files.notes:
                note(f"note: {each.as_line()}")
            if not (yes or options.json) and in_terminal(sys.stdin) and in_terminal() and not await _agreed(client, files):
                note("nothing was applied")
                return 1
            applied = await client.apply(files)
        except (Invalid, Conflict, NotFound, Denied) as error:
            code = report(error)
            note("nothing was applied")
            return code
        for job in applied.get("jobs", ()):
            await follow_job(client, job, label="building the index", quiet=options.json)
    if options.json:
        say_json({**applied, "changes": changed(applied)})
    elif not (yes is False and in_terminal(sys.stdin) and in_terminal()):
        _print_applied(applied)
    else:
        say(f"applied {_how_many(applied)}")
    return 0


async def _agreed(client: AsyncClient, files: Collected) -> bool:
    made = await client.plan(files)
    changes = changed(made)
    print_changes(changes, made.get("changes", ()))
    print_notes(made.get("notes", ()))
    print_consequences(made)
    if not changes:
        return True
    import anyio.to_thread

    answer = await anyio.to_thread.run_sync(partial(input, "Apply? [y/N] "), abandon_on_cancel=True)
    return answer.strip().lower() in {"y", "yes"}


def _print_applied(applied: Applied) -> None:
    changes = changed(applied)
    print_changes(changes, applied.get("changes", ()))
    print_notes(applied.get("notes", ()))
    if changes:
        say(f"applied {_how_many(applied)}")


def _how_many(applied: Applied) -> str:
    number = len(changed(applied))
    return f"{number} change{'' if number == 1 else 's'}"


COMMAND = apply
