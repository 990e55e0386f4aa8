"""`tidemill schema`: the API's description, and the kinds of document that there are."""

from __future__ import annotations

from typing import Literal

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import say, say_json
from tidemill.core.extend import extension_names


async def schema(what: Literal["api", "kinds"] = "api", /, *, options: Options = DEFAULTS) -> None:
    """Print the OpenAPI description of the server, or list the kinds of document that a project can hold.

    :param what: api or kinds.
    """
    if what == "api":
        async with open_client(options) as client:
            say_json(await client.openapi())
        return
    names = list(extension_names("kinds"))
    if options.json:
        say_json({"items": names})
    else:
        say("\n".join(names))


COMMAND = schema
