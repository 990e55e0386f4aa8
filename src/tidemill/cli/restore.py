"""`tidemill restore`: bring back what was deleted."""

from __future__ import annotations

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import say, say_json


async def restore(ref: str, /, *, why: str = "", options: Options = DEFAULTS) -> None:
    """Restore a deleted version, or every deleted version of an artifact, under the old numbers.

    :param ref: The version, as in prompt/answer@v3, or the artifact, as in prompt/answer.
    :param why: The reason, kept in the audit.
    """
    async with open_client(options) as client:
        done = await client.restore(ref, why=why)
    if options.json:
        say_json(done)
        return
    for each in done.get("restored", ()):
        say(f"restored  {each}")
    say(f"latest    {done.get('latest')}")


COMMAND = restore
