"""`tidemill models`: models and embedders."""

from __future__ import annotations

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import say, say_json
from tidemill.cli.table import Column, table


async def list_models(*, options: Options = DEFAULTS) -> None:
    """List models and embedders."""
    async with open_client(options) as client:
        found = [*await client.artifacts(kind="model"), *await client.artifacts(kind="embedder")]
    if options.json:
        say_json({"items": found})
        return
    rows = [
        [each.get("ref", ""), str(each.get("spec", {}).get("provider", "")), str(each.get("spec", {}).get("model") or "-")]
        for each in found
    ]
    for line in (
        table([Column("reference"), Column("provider"), Column("model")], rows) if rows else ["no model yet: tidemill apply"]
    ):
        say(line)


COMMANDS = {"list": list_models}
