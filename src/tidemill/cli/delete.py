"""`tidemill delete`: take versions out of sight; they can be restored for a while."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tidemill.cli.failures import report
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import in_terminal, note, say, say_json
from tidemill.core.errors import Conflict, Invalid
from tidemill.core.refs import parse_ref

if TYPE_CHECKING:
    from tidemill.client.artifacts import RemovedJson


async def delete(
    ref: str | None = None,
    /,
    *,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"])] = False,
    why: str = "",
    although_evaluated: bool = False,
    purge: bool = False,
    environment: str | None = None,
    options: Options = DEFAULTS,
) -> int:
    """Delete a version, or an artifact with all its versions, unless anything depends on it. It can be restored for a while.

    Connections, endpoints, environments and monitors have no versions: they go for good. Asks for the name in a terminal.

    :param ref: The version, as in prompt/answer@v3, or the artifact, as in prompt/answer.
    :param yes: Do not ask.
    :param why: The reason, kept with it.
    :param although_evaluated: Also when evaluations were made with it; their results stay.
    :param environment: Only what a connection or an endpoint is there.
    :param purge: Without a reference: remove for good what was deleted longer ago than the retention window.
    """
    if (ref is None) != purge:
        raise Invalid("tidemill delete needs a reference, or --purge alone", hint="See: tidemill delete --help")
    if ref is not None and not yes and in_terminal(sys.stdin) and in_terminal() and not await _named(ref):
        note("nothing was deleted")
        return 1
    try:
        async with open_client(options) as client:
            if ref is None:
                done = await client.purge()
            else:
                done = await client.delete(ref, why=why, although_evaluated=although_evaluated, environment=environment)
    except Conflict as error:
        code = report(error)
        note("nothing was deleted")
        return code
    _print(done, as_json=options.json)
    return 0


async def _named(ref: str) -> bool:
    """Whether the person typed the name again."""
    import anyio.to_thread

    name = parse_ref(ref).name
    answer = await anyio.to_thread.run_sync(partial(input, f"Type {name} to delete {ref}: "), abandon_on_cancel=True)
    return answer.strip() == name


def _print(done: RemovedJson, *, as_json: bool) -> None:
    if as_json:
        say_json(done)
        return
    for each in done.get("deleted", ()):
        say(f"deleted   {each}")
    for each in done.get("purged", ()):
        say(f"purged    {each}")
    if "purged" in done:
        say(f"{len(done.get('purged', ()))} versions and {done.get('blobs', 0)} blobs went for good")
        return
    if done.get("latest"):
        say(f"latest    {done.get('latest')}")
    gone = done.get("deleted", ())
    if gone and "@" not in gone[0]:
        note("it has no versions, and is not kept; apply makes it again while its file is there")
    elif gone:
        back = gone[0] if len(gone) == 1 else str(parse_ref(gone[0]).at(None))
        say(f"Undo      tidemill restore {back}")


COMMAND = delete
