"""`tidemill history`: the versions of an artifact, who made them, why, and where they are."""

from __future__ import annotations

from tidemill.cli.figures import moment, short
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, one_line, paint, paint_words, say, say_json, wrapped
from tidemill.client.changes import MoveJson, PastJson


async def history(ref: str, /, *, limit: int | None = None, options: Options = DEFAULTS) -> None:
    """List the versions of an artifact, the newest first: who made each when, what changed, and where it is used.

    :param ref: The artifact, as in prompt/answer.
    :param limit: At most N.
    """
    async with open_client(options) as client:
        versions = await client.history(ref, limit=limit)
    if options.json:
        say_json({"items": versions})
        return
    for each in versions:
        _print(each)


def _print(past: PastJson) -> None:
    names = [*past.get("aliases", ()), *past.get("served", ())]
    where = f"   {paint(', '.join(names), 'good')}" if names else ""
    say(f"{past.get('ref', '')}   {short(past.get('digest'))}   {moment(past, 'created')}   {past.get('by', '')}{where}")
    if past.get("description"):
        say(f"    {one_line(past.get('description', ''), longest=90)}")
    parent = f"from {past.get('parent')}: " if past.get("parent") else ""
    for line in wrapped(clean(f"{parent}{past.get('summary', '')}"), indent="    "):
        say(paint_words(line))
    for each in past.get("moves", ()):
        if not (each.get("alias") == "latest" and each.get("at") == past.get("created")):
            say(paint(f"    {_move(each)}", "quiet"))


def _move(move: MoveJson) -> str:
    came = f" from {move.get('before')}" if move.get("before") else ""
    why = f": {clean(move.get('why', ''))}" if move.get("why") else ""
    return f"{moment(move, 'at')}   {move.get('alias')} came here{came}, by {move.get('by')}{why}"


COMMAND = history
