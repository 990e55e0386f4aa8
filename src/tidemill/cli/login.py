"""`tidemill login`: a link that opens the web page as somebody, once."""

from __future__ import annotations

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import note, say, say_json
from tidemill.core.errors import Unavailable


async def login(*, person: str | None = None, options: Options = DEFAULTS) -> None:
    """Print a link by which you log in to the web page, once, within 15 minutes.

    :param person: Log in as this person; with the admin token only. Default: whoever the token or key belongs to.
    """
    await make_link(person, options)


async def make_link(person: str | None, options: Options) -> None:
    """Make a link for somebody, or for whoever asks, and print it."""
    async with open_client(options) as client:
        if client.in_process:
            raise Unavailable("no server runs, so there is nowhere to log in", hint="Start one: tidemill up")
        made = await client.login_link(person)
        url = f"{client.address}{made['path']}"
    if options.json:
        say_json({**made, "url": url})
        return
    say(url)
    note("works once, for 15 minutes")


COMMAND = login
