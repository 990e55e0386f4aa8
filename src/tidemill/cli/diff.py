"""`tidemill diff`: what differs between two references, or between two points in time."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from tidemill.cli.figures import moment, short
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.plan import print_changes
from tidemill.cli.screen import cells, clean, say, say_json, width
from tidemill.client.changes import DifferenceJson, DiffJson
from tidemill.core.errors import Invalid, NotFound
from tidemill.core.moments import parse_moment
from tidemill.core.refs import is_digest, parse_ref

if TYPE_CHECKING:
    from tidemill.client import AsyncClient


async def diff(
    a: str | None = None,
    b: str | None = None,
    /,
    *,
    since: str | None = None,
    until: str | None = None,
    zone: str | None = None,
    deep: bool = False,
    options: Options = DEFAULTS,
) -> None:
    """Show what differs between two references of one kind, or what changed since a time.

    A reference is a version, an alias, a release (by digest too), endpoint/NAME for what it serves, or a connection. With one
    reference: from that version to the latest, or from the version before to the latest. With --since and no reference: all
    that moved in the project.

    :param a: The old one.
    :param b: The new one.
    :param since: From when: 2026-11-17, "2026-11-17 14:30", 7d, yesterday, "last tuesday".
    :param until: Until when; now unless given. A day counts whole.
    :param zone: Whose days and clocks are meant, as in Europe/Berlin; this machine's unless given.
    :param deep: Follow the references that moved, and show what changed in them too.
    """
    if a is None and since is None:
        raise Invalid("a diff needs two references, or a time", hint="Write: tidemill diff A B, or tidemill diff --since 7d")
    async with open_client(options) as client:
        if since is not None:
            found = await client.diff(a, b, since=_moment(since, zone), until=_moment(until, zone, end=True), deep=deep)
        else:
            assert a is not None
            if until is not None:
                raise Invalid("--until needs --since", hint="Say from when: --since 7d")
            found = await client.diff(*await _both(client, a, b), deep=deep)
    if options.json:
        say_json(found)
    elif a is None:
        _print_moves(found)
    else:
        _print(found)


def _moment(text: str | None, zone: str | None, *, end: bool = False) -> str | None:
    """A moment of this machine's clock, or of the zone's, as the server takes it."""
    if text is None:
        return None
    place: dt.tzinfo | None = None
    if zone is not None:
        import zoneinfo

        try:
            place = zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise Invalid(f"{zone!r} is not a time zone", hint="Write Europe/Berlin.") from error
    what = "--until" if end else "--since"
    found = parse_moment(text, now_ns=time.time_ns(), zone=place, end=end, what=what)
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=found // 1000)).isoformat()


async def _both(client: AsyncClient, a: str, b: str | None) -> tuple[str, str]:
    """Both references; with one given, the other is the latest, or the one before it."""
    if b is not None:
        return a, b
    if is_digest(a) or a.startswith(("endpoint/", "connection/")):
        raise Invalid(f"{a[:40]} is compared with another one", hint="Write: tidemill diff A B, or say --since 7d")
    ref = parse_ref(a)
    if ref.version is not None:
        return a, ref.bare
    versions = await client.history(ref.bare, limit=1)
    parent = versions[0].get("parent") if versions else None
    if parent is None:
        raise NotFound(f"{ref.bare} has one version", hint="There is nothing to compare it with.")
    return f"{ref.bare}@{parent}", ref.bare


def _print(found: DiffJson) -> None:
    names = cast("Mapping[str, str]", found)
    sides = [_side(names, each) for each in ("from", "to")]
    together = " -> ".join(sides)
    for line in [together] if cells(together) <= width() else [sides[0], f"-> {sides[1]}"]:
        say(line)
    changes = found.get("changes", ())
    if not changes:
        say("no difference")
        return
    print_changes(changes, changes)


def _side(found: Mapping[str, str], which: str) -> str:
    """What was compared, as it can be pasted; with what it led to, and when, where that says more."""
    given, name = found.get(f"{which}_ref", ""), found.get(which, "")
    beside = [short(name)] if given != name and is_digest(name) else [name] if given != name else []
    if found.get(f"{which}_at"):
        beside.append(moment(found, f"{which}_at"))
    return f"{given} ({', '.join(beside)})" if beside else given


def _print_moves(found: DiffJson) -> None:
    changes = found.get("changes", ())
    span = cast("Mapping[str, str]", found)
    say(f"{moment(span, 'from')} -> {moment(span, 'to')}")
    if not changes:
        say("nothing moved")
        return
    print_changes(_told(changes), changes)


def _told(changes: Sequence[DifferenceJson]) -> list[DifferenceJson]:
    """With who, when and why as a line of each."""
    told: list[DifferenceJson] = []
    for each in changes:
        why = clean(each.get("why") or "")
        by = " ".join(filter(None, [moment(each, "at"), clean(each.get("by") or "")]))
        told.append({**each, "details": [f"{by}{f': {why}' if why else ''}", *each.get("details", ())]})
    return told


COMMAND = diff
