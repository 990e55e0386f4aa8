"""`tidemill schema`: the API's description, or the keys that a kind of document takes."""

from __future__ import annotations

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import say, say_json
from tidemill.core.errors import NotFound
from tidemill.core.extend import extension_names, load_extension


async def schema(kind: str | None = None, /, *, options: Options = DEFAULTS) -> None:
    """Print the OpenAPI description of the server, or what a kind of document takes.

    :param kind: A kind, as in chain. Default: the API. `kinds` lists them.
    """
    if kind is None:
        async with open_client(options) as client:
            say_json(await client.openapi())
        return
    if kind == "kinds":
        names = list(extension_names("kinds"))
        if options.json:
            say_json({"items": names})
        else:
            say("\n".join(names))
        return
    made = getattr(load_extension("kinds", kind), "schema", None)
    if made is None:
        raise NotFound(f"the kind {kind!r} does not describe its keys", hint="See the reference documentation.")
    say_json(made())


COMMAND = schema
