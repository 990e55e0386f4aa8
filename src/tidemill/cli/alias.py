"""`tidemill alias`: name a version."""

from __future__ import annotations

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import say, say_json


async def alias(ref: str, name: str, /, *, why: str = "", expected: str | None = None, options: Options = DEFAULTS) -> None:
    """Give a version a name of its own, such as production. Moves it when it exists.

    :param ref: The version, as in chain/handbook@v3; without one, the latest.
    :param name: The alias.
    :param why: The reason, kept with the move.
    :param expected: Move it only when it points to this version now.
    """
    async with open_client(options) as client:
        moved = await client.set_alias(ref, name, why=why, expected=expected)
    if options.json:
        say_json(moved)
    else:
        say(f"{name} is {moved.get('ref')}")


COMMAND = alias
