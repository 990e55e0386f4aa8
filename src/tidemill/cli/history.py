"""`tidemill history`: the versions of an artifact."""

from __future__ import annotations

from tidemill.cli.figures import moment, short
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import one_line, say, say_json
from tidemill.cli.table import Column, table


async def history(ref: str, /, *, limit: int | None = None, options: Options = DEFAULTS) -> None:
    """List the versions of an artifact, the newest first.

    :param ref: The artifact, as in prompt/answer.
    :param limit: At most N.
    """
    async with open_client(options) as client:
        versions = await client.versions(ref, limit=limit)
    if options.json:
        say_json({"items": versions})
        return
    rows = [
        [
            each.get("ref", ""),
            short(each.get("digest")),
            moment(each, "created_ns", "created"),
            one_line(each.get("description", ""), longest=60),
        ]
        for each in versions
    ]
    for line in table([Column("reference"), Column("digest"), Column("made"), Column("description")], rows):
        say(line)


COMMAND = history
