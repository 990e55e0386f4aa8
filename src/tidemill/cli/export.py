"""`tidemill export`: the project as an archive in open formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tidemill.cli.figures import counted_rows
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import say, say_json, width, wrapped

_SHOWN = ("artifacts", "versions", "aliases", "evaluations", "evaluation_samples", "feedback", "audit", "blobs")


async def export(
    *,
    out: Path | None = None,
    only: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    since: str | None = None,
    blobs: bool = True,
    options: Options = DEFAULTS,
) -> None:
    """Write everything of the project to a zip file, or to a folder, in open formats.

    Keys and secrets are not in it. What is in it can be imported elsewhere: tidemill import.

    :param out: Where to: a file that ends in .zip, else a folder; PROJECT.tidemill.zip when it is left out.
    :param only: Only these artifacts, with all that they need; may be repeated.
    :param since: Only what was made since then: a time, or a length of time such as 7d.
    :param blobs: Without them, what is imported finds them where they are kept.
    """
    async with open_client(options) as client:
        target = out or Path(f"{client.settings.project}.tidemill.zip")
        made = await client.export(target, only=only, since=since, blobs=blobs)
    if options.json:
        say_json(made)
        return
    counts = made.get("counts", {})
    say(f"wrote     {made.get('file')}, {made.get('bytes', 0):,} bytes")
    listed = [counted_rows(counts[name], name) for name in _SHOWN if counts.get(name)]
    for number, line in enumerate(wrapped(", ".join(listed) or "nothing", longest=width() - 10)):
        say(f"{'' if number else 'In it':<10}{line}")
    say(f"Next      tidemill import {made.get('file')} --into PROJECT")


COMMAND = export
