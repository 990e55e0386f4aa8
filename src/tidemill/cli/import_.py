"""`tidemill import`: an archive into a project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.cli.failures import report
from tidemill.cli.figures import counted, counted_rows
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.progress import follow_job
from tidemill.cli.screen import clean, note, paint, say, say_json, width, wrapped
from tidemill.core.errors import Conflict, Denied, Invalid, NotFound

if TYPE_CHECKING:
    from tidemill.client.transfer import ImportJson

_SHOWN = 10


async def import_(
    source: Path,
    /,
    *,
    into: str | None = None,
    dry_run: bool = False,
    aliases: bool = False,
    options: Options = DEFAULTS,
) -> int:
    """Take in what tidemill export wrote: all of it, or nothing.

    It is merged into what is there: the same content is the same version. Twice the same archive changes nothing more.

    :param source: The zip file, or the folder.
    :param into: The project; it is made when it is missing.
    :param dry_run: Show what would be done.
    :param aliases: Move aliases, latest and what endpoints serve to where the archive has them, if the policies let it.
    """
    chosen = options if into is None else replace(options, project=into)
    async with open_client(chosen) as client:
        try:
            done = await client.import_(source, dry_run=dry_run, aliases=aliases)
        except (Invalid, Conflict, NotFound, Denied) as error:
            code = report(error)
            note("nothing was imported")
            return code
        for job in done.get("jobs", ()):
            await follow_job(client, job, label="building the index", quiet=options.json)
    if options.json:
        say_json(done)
        return 0
    _print_done(done, source, dry_run=dry_run)
    return 0


def _print_done(done: ImportJson, source: Path, *, dry_run: bool) -> None:
    would = "would add" if dry_run else "added"
    added = [counted_rows(count, name) for name, count in done.get("added", {}).items() if count]
    same = sum(done.get("same", {}).values())
    told = f"{', '.join(added) or 'nothing'}" + (f"; {counted(same, 'row')} were there already" if same else "")
    for number, line in enumerate(wrapped(told, longest=width() - 10)):
        say(f"{would if number == 0 else '':<10}{line}")
    _list("renumbered", [f"{each['from']} is {each['to']} here" for each in done.get("renumbered", ())])
    _list("kept", [f"{each}: it says otherwise here, and stays" for each in done.get("kept", ())])
    _list("moved", list(done.get("moved", ())))
    _list("not moved", list(done.get("not_moved", ())))
    if done.get("not_moved"):
        say(paint(f"{'':<10}to move them too: tidemill import {source} --aliases", "quiet"))
    say(f"Archive   {done.get('archive')}")


def _list(title: str, lines: list[str]) -> None:
    for number, line in enumerate(lines[:_SHOWN]):
        say(f"{title if number == 0 else '':<10} {clean(line)}")
    if len(lines) > _SHOWN:
        say(paint(f"{'':<10} and {len(lines) - _SHOWN} more", "quiet"))


COMMAND = import_
