"""`tidemill blame`: which version brought each line of a prompt."""

from __future__ import annotations

from tidemill.cli.figures import moment
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, paint, say, say_json, width, wrapped
from tidemill.client.changes import BlamedJson


async def blame(prompt: str, /, *, options: Options = DEFAULTS) -> None:
    """Show each line of a prompt with the version that brought it, who made that, and when.

    :param prompt: The prompt, as in prompt/answer or prompt/answer@v3.
    """
    async with open_client(options) as client:
        found = await client.blame(prompt)
    if options.json:
        say_json(found)
        return
    lines = found.get("lines", ())
    several = len({each.get("message") for each in lines}) > 1
    before: BlamedJson = {}
    widths = [max((len(str(each.get(name, ""))) for each in lines), default=0) for name in ("version", "by")]
    for each in lines:
        if several and each.get("message") != before.get("message"):
            say(paint(f"{each.get('role')}:", "strong"))
        when = moment(each, "at")[:10]
        start = f"{each.get('version', ''):<{widths[0]}}  {when}  {each.get('by', ''):<{widths[1]}}  "
        first, *rest = wrapped(clean(each.get("text", "")), longest=max(20, width() - len(start)))
        say((paint(start, "quiet") + first).rstrip())
        for more in rest:
            say(" " * len(start) + more)
        before = each


COMMAND = blame
