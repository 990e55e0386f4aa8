"""`tidemill rollback`: serve what the endpoint served before."""

from __future__ import annotations

from tidemill.cli.deploy import print_endpoint
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import say, say_json


async def rollback(endpoint: str, /, *, options: Options = DEFAULTS) -> None:
    """Serve what the endpoint served before. A rollout that runs there is aborted, and nothing else changes.

    :param endpoint: The endpoint, as in endpoint/handbook.
    """
    async with open_client(options) as client:
        now = await client.rollback(endpoint)
    if options.json:
        say_json(now)
    else:
        print_endpoint(now)
        history = now.get("history", ())
        if history and history[0].get("action") == "abort":
            say("the rollout is aborted; to serve what it served before, roll back again")


COMMAND = rollback
