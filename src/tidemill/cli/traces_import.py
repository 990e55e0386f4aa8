"""`tidemill traces import`: traces out of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.cli.failures import report
from tidemill.cli.figures import counted
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, note, say, say_json
from tidemill.core.errors import Invalid, TooLarge

if TYPE_CHECKING:
    from tidemill.client.traces_import import TracesImportedJson


async def import_traces(*files: Path, format: str = "", options: Options = DEFAULTS) -> int:  # noqa: A002  (the option's name)
    """Take in traces out of files: OTLP (JSON lines, JSON, protobuf) or another platform's export.

    The same file again changes nothing. .gz and .zst are unpacked.

    :param files: The files.
    :param format: Which format; found out unless it is given.
    """
    if not files:
        raise Invalid("no file was named", hint="Type: tidemill traces import FILE")
    done: list[dict[str, object]] = []
    code = 0
    async with open_client(options) as client:
        for file in files:
            try:
                taken = await client.import_traces(file, format=format)
            except (Invalid, TooLarge) as error:
                code = report(error)
                continue
            done.append({"file": str(file), **taken})
            if not options.json:
                _show(file, taken)
    if options.json:
        say_json({"items": done})
    return code


def _show(file: Path, taken: TracesImportedJson) -> None:
    scores = f"  {counted(taken['scores'], 'score')}" if taken["scores"] else ""
    say(f"{clean(file.name)}  {clean(taken['format'])}  {counted(taken['spans'], 'span')}{scores}")
    if taken["message"]:
        note(taken["message"])
