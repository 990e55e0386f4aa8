"""`tidemill alias`: name a version, see what is named, and take a name away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.cli.figures import short
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import one_line, say, say_json
from tidemill.cli.table import Column, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.client.artifacts import AliasJson, AliasMoveJson

_LONGEST = 60


async def alias(ref: str, name: str, /, *, why: str = "", expected: str | None = None, options: Options = DEFAULTS) -> None:
    """Give a version a name of its own, such as production. Moves it when it exists.

    :param ref: The version, as in chain/handbook@v3; without one, the latest.
    :param name: The alias.
    :param why: The reason, kept with the move.
    :param expected: Move it only when it points to this version now.
    """
    async with open_client(options) as client:
        moved = await client.set_alias(ref, name, why=why, expected=expected)
    if options.json:
        say_json(moved)
    else:
        say(f"{name} is {moved.get('ref')}")


async def list_aliases(ref: str, /, *, moves: bool = False, limit: int = 20, options: Options = DEFAULTS) -> None:
    """List the aliases of an artifact: where each points, since when, by whom and why.

    :param ref: The artifact, as in chain/handbook.
    :param moves: Every move instead, the newest first.
    :param limit: At most N moves.
    """
    async with open_client(options) as client:
        if moves:
            found = await client.alias_moves(ref, limit=limit)
            lines = _move_lines(found)
        else:
            found = await client.aliases(ref)
            lines = _lines(found)
    if options.json:
        say_json({"items": found})
        return
    for line in lines:
        say(line)


async def remove(ref: str, name: str, /, *, why: str = "", expected: str | None = None, options: Options = DEFAULTS) -> None:
    """Take an alias away, through the policies that protect it.

    :param ref: The artifact, as in chain/handbook.
    :param name: The alias.
    :param why: The reason, kept with the move.
    :param expected: Remove it only when it points to this version now.
    """
    async with open_client(options) as client:
        gone = await client.remove_alias(ref, name, why=why, expected=expected)
    if options.json:
        say_json(gone)
    else:
        say(f"{name} was {gone.get('ref')}, and is nothing now")


def _lines(found: Sequence[AliasJson]) -> list[str]:
    rows = [
        [
            each.get("alias", ""),
            each.get("ref", ""),
            short(each.get("digest")),
            each.get("moved", "")[:16].replace("T", " "),
            each.get("moved_by") or "-",
            one_line(each.get("why", ""), longest=_LONGEST),
        ]
        for each in found
    ]
    names = ("alias", "points at", "digest", "since", "by", "why")
    return table([Column(name) for name in names], rows)


def _move_lines(found: Sequence[AliasMoveJson]) -> list[str]:
    rows = [
        [
            each.get("at", "")[:16].replace("T", " "),
            each.get("alias", ""),
            f"{each.get('before') or '-'} -> {each.get('after') or '-'}",
            each.get("by", "") or "-",
            one_line(each.get("why", ""), longest=_LONGEST),
        ]
        for each in found
    ]
    return table([Column(name) for name in ("at", "alias", "moved", "by", "why")], rows)


COMMAND = alias
COMMANDS = {"list": list_aliases, "remove": remove}
