"""`tidemill traces erase`: take all that is kept of a user, a session or a trace out of every place, for good."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Annotated, cast

from cyclopts import Parameter

from tidemill.cli.figures import counted
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.progress import follow_job
from tidemill.cli.screen import in_terminal, note, say, say_json
from tidemill.core.errors import Invalid

_NAMES = {
    "spans": "span", "payloads": "payload", "feedback": "feedback", "samples": "sample", "steps": "cached output",
    "scores": "cached score", "kept_answers": "kept answer",
}  # fmt: skip


async def erase_traces(
    *,
    user: str | None = None,
    session: str | None = None,
    trace: str | None = None,
    why: str = "",
    yes: Annotated[bool, Parameter(name=["--yes", "-y"])] = False,
    options: Options = DEFAULTS,
) -> int:
    """Erase all that is kept of a user, a session or a trace, for good.

    That is spans, payloads, feedback, samples made of them, and what was kept for re-use; numbers are made again without them.
    What is sent again stays erased; what begins later is kept. Asks for the name in a terminal.

    :param user: Whose traces.
    :param session: Which session's traces.
    :param trace: Which trace, by its id.
    :param why: The reason, kept in the audit, which does not hold the name.
    :param yes: Do not ask.
    """
    named = [each for each in (user, session, trace) if each]
    if len(named) != 1 or not why:
        raise Invalid("what is erased, and why, must be said", hint="Give one of --user, --session, --trace, and --why TEXT.")
    if not yes and in_terminal(sys.stdin) and in_terminal():
        import anyio.to_thread

        asked = partial(input, f"All that is kept of it goes for good. Type {named[0]} to erase it: ")
        if (await anyio.to_thread.run_sync(asked, abandon_on_cancel=True)).strip() != named[0]:
            note("nothing was erased")
            return 1
    async with open_client(options) as client:
        job_id = await client.erase_traces(user=user, session=session, trace=trace, why=why)
        job = await follow_job(client, job_id, label="erasing", quiet=options.json)
    if options.json:
        say_json(job)
        return 0
    _tell(cast("Mapping[str, int]", job.get("result") or {}))
    return 0


def _tell(counts: Mapping[str, int]) -> None:
    say(f"erased    {counted(counts.get('traces', 0), 'trace')}, {counted(counts.get('spans', 0), 'span')}")
    rest = [counted(counts.get(key, 0), name) for key, name in _NAMES.items() if key != "spans" and counts.get(key)]
    if rest:
        say(f"with them {', '.join(rest)}")
    if counts.get("left_on_disk"):
        say("the span store still has files of it and removes them within minutes")
