"""`tidemill apply`: make the project's files the latest versions, all or none."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tidemill.cli.drift import print_drift, print_undone, undone
from tidemill.cli.failures import report
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.plan import changed, print_changes, print_consequences, print_notes
from tidemill.cli.progress import follow_job
from tidemill.cli.screen import in_terminal, note, say, say_json
from tidemill.core.errors import Conflict, Denied, Invalid, NotFound

if TYPE_CHECKING:
    from tidemill.client import AsyncClient, Collected
    from tidemill.client.shapes import Applied, Plan


async def apply(
    *,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"])] = False,
    strict: bool = False,
    expected: str | None = None,
    options: Options = DEFAULTS,
) -> int:
    """Make the project's files the latest versions, all of them or none, and build the indexes that changed.

    Asks first in a terminal; a script is not asked. Says what goes back to the files that another door changed since: it is
    kept as a version, and tidemill pull takes it into the files.

    :param yes: Do not ask.
    :param strict: Refuse (exit 6) to undo what was changed in the registry by another door since the last apply.
    :param expected: The digest in tidemill plan --json that was looked at: anything else is refused.
    """
    import anyio.to_thread

    from tidemill.client import collect

    async with open_client(options) as client:
        try:
            files = await anyio.to_thread.run_sync(collect, client.settings)
            for each in files.notes:
                note(f"note: {each.as_line()}")
            if not (yes or options.json) and _is_asked():
                seen = await _agreed(client, files)
                if seen is None:
                    note("nothing was applied")
                    return 1
                expected = expected or seen.get("digest")
            applied = await client.apply(files, expected=expected, strict=strict, wait=False)
        except (Invalid, Conflict, NotFound, Denied) as error:
            code = report(error)
            note("nothing was applied")
            return code
        for job in applied.get("jobs", ()):
            await follow_job(client, job, label="building the index", quiet=options.json)
    _tell(applied, was_shown=not yes and _is_asked(), as_json=options.json)
    return 0


def _is_asked() -> bool:
    return in_terminal(sys.stdin) and in_terminal()


def _tell(applied: Applied, *, was_shown: bool, as_json: bool) -> None:
    if as_json:
        say_json({**applied, "changes": changed(applied)})
    elif was_shown:
        say(f"applied {_how_many(applied)}")
    else:
        _print_applied(applied)


async def _agreed(client: AsyncClient, files: Collected) -> Plan | None:
    """The plan that the person agreed to, also to what it undoes; None when they did not."""
    made = await client.plan(files)
    changes = changed(made)
    print_changes(changes, made.get("changes", ()))
    print_drift(made.get("drift", ()))
    print_notes(made.get("notes", ()))
    print_consequences(made)
    if not changes:
        return made
    import anyio.to_thread

    undoes = undone(made.get("drift", ()))
    question = "Apply, and undo what was done to the registry? [y/N] " if undoes else "Apply? [y/N] "
    answer = await anyio.to_thread.run_sync(partial(input, question), abandon_on_cancel=True)
    return made if answer.strip().lower() in {"y", "yes"} else None


def _print_applied(applied: Applied) -> None:
    changes = changed(applied)
    print_changes(changes, applied.get("changes", ()))
    print_undone(applied.get("drift", ()))
    print_notes(applied.get("notes", ()))
    if changes:
        say(f"applied {_how_many(applied)}")


def _how_many(applied: Applied) -> str:
    number = len(changed(applied))
    return f"{number} change{'' if number == 1 else 's'}"


COMMAND = apply
