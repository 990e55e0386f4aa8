"""`tidemill projects`: which there are, and what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.cli.figures import moment
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import Tone, clean, one_line, say, say_json
from tidemill.cli.table import Cell, Column, table

if TYPE_CHECKING:
    from tidemill.client.access import ProjectJson


async def list_projects(*, options: Options = DEFAULTS) -> None:
    """List the projects that you may read."""
    async with open_client(options) as client:
        found = await client.projects()
    if options.json:
        say_json({"items": found})
        return
    rows = [
        [each.get("name", ""), _state(each), moment(each, "created"), one_line(clean(each.get("description", "")), longest=60)]
        for each in found
    ]
    titles = ("project", "state", "made", "description")
    for line in table([Column(each) for each in titles], rows) if rows else ["no project yet: tidemill projects create NAME"]:
        say(line)


async def create_project(name: str, /, *, description: str = "", options: Options = DEFAULTS) -> None:
    """Make a project. The admin's first apply to a name makes one too.

    :param name: Its name: small letters, digits, `.`, `_` and `-`.
    :param description: What it is for.
    """
    async with open_client(options) as client:
        made = await client.create_project(name, description=description)
    if options.json:
        say_json(made)
        return
    say(f"made {name}")
    say(f"Next      tidemill access grant NAME developer --project {name}")


async def show_project(name: str | None = None, /, *, options: Options = DEFAULTS) -> None:
    """Show a project and how much is in it.

    :param name: Its name; default: the one of this folder.
    """
    async with open_client(options) as client:
        found = await client.project(name)
    _print(found, as_json=options.json)


async def describe_project(name: str, description: str, /, *, options: Options = DEFAULTS) -> None:
    """Say what a project is for.

    :param name: Its name.
    :param description: What it is for.
    """
    async with open_client(options) as client:
        found = await client.change_project(name, description=description)
    _print(found, as_json=options.json)


async def archive_project(name: str, /, *, options: Options = DEFAULTS) -> None:
    """Make a project read-only. Nothing is deleted, and what it serves is served on.

    :param name: Its name.
    """
    async with open_client(options) as client:
        found = await client.change_project(name, archived=True)
    if options.json:
        say_json(found)
        return
    say(f"archived {name}: it can be read, and not changed")
    say(f"Back      tidemill projects restore {name}")


async def restore_project(name: str, /, *, options: Options = DEFAULTS) -> None:
    """Let an archived project be changed again.

    :param name: Its name.
    """
    async with open_client(options) as client:
        found = await client.change_project(name, archived=False)
    _print(found, as_json=options.json)


def _print(project: ProjectJson, *, as_json: bool) -> None:
    if as_json:
        say_json(project)
        return
    say(f"{project.get('name', '')}  {'archived' if project.get('archived') else 'open'}  made {moment(project, 'created')}")
    if project.get("description"):
        say(clean(project.get("description", "")))
    for noun, count in project.get("counts", {}).items():
        say(f"  {noun:<14}{count:>8,}")


def _state(project: ProjectJson) -> Cell:
    tone: Tone = "unsure" if project.get("archived") else "plain"
    return Cell("archived" if project.get("archived") else "open", tone)


COMMANDS = {
    "list": list_projects,
    "create": create_project,
    "show": show_project,
    "describe": describe_project,
    "archive": archive_project,
    "restore": restore_project,
}
