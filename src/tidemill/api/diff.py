"""What differs between any two references, and what changed between two points in time."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from typing import Any, Final

import anyio.to_thread
from pydantic import Field
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Caller
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.core.errors import Invalid
from tidemill.core.moments import parse_moment
from tidemill.core.refs import is_digest, parse_ref
from tidemill.store.diff import Differs, Parts, alike, as_application, diff_points, moved_between
from tidemill.store.points import Point, point_of

router = Router(tags=["artifacts"])
_SHOWN: Final = 999
"""Nanoseconds: times are shown to the microsecond, and one that was shown means all of it."""


class Differing(Body):
    """Two references; or one and two points in time; or two points in time alone, for all that moved between them.

    Times are as in `2026-11-17T14:30Z`, `7d`, `yesterday`, `last tuesday`; `until` is now unless given. Days and clocks are
    those of `zone` (a name as in Europe/Berlin), else UTC. `deep` follows the references that moved.
    """

    a: str | None = Field(None, max_length=400)
    b: str | None = Field(None, max_length=400)
    since: str | None = Field(None, max_length=100)
    until: str | None = Field(None, max_length=100)
    zone: str | None = Field(None, max_length=100)
    environment: str | None = Field(None, max_length=128)
    deep: bool = False


@router.post("/diff")
async def diff(call: AnyCaller, body: Differing) -> dict[str, Any]:
    """What differs between two things of one kind, or between two points in time. Nothing is changed."""
    times = _times(call, body)
    if times is None:
        if body.a is None or body.b is None:
            raise Invalid("a diff needs two references, or a time", hint="Give a and b, or since.")
        return await differences(call, body.a, body.b, deep=body.deep, environment=body.environment)
    if body.b is not None:
        raise Invalid("two references and a time are too much", hint="Leave b out, or since and until.")
    since_ns, until_ns = times
    if body.a is not None:
        return await differences(call, body.a, body.a, times=times, deep=body.deep, environment=body.environment)
    environment = body.environment or call.platform.settings.environment
    found = await call.platform.database.read(
        lambda db: moved_between(db, call.project, since_ns, until_ns, parts=_parts(call), environment=environment)
    )
    changes = await anyio.to_thread.run_sync(_moves_json, _readable(call, found))
    return {"from": iso(since_ns), "to": iso(until_ns), "changes": changes}


@router.get("/artifacts/{kind}/{name}/diff/{other}")
async def diff_versions(
    call: AnyCaller, kind: str, name: str, other: str, *, to: str | None = None, deep: bool = False
) -> dict[str, Any]:
    """What changed from the version `other` (`v3`, an alias, a digest) to the version `to` (default: the latest)."""
    old, new = parse_ref(f"{kind}/{name}@{other}"), parse_ref(f"{kind}/{name}@{to}" if to else f"{kind}/{name}")
    return await differences(call, str(old), str(new), deep=deep)


async def differences(
    call: Caller,
    a: str,
    b: str,
    *,
    times: tuple[int, int] | None = None,
    deep: bool = False,
    environment: str | None = None,
    as_releases: bool = False,
) -> dict[str, Any]:
    """What differs from `a` to `b`, each as it was at its time where there are times; `as_releases`, with all they need."""
    place = environment or call.platform.settings.environment
    for each in (a, b):
        call.check("read", "" if is_digest(each) else parse_ref(each).bare)

    def work(db: Database) -> tuple[Point, Point, list[Differs]]:
        old = point_of(db, call.project, a, environment=place, at_ns=times and times[0])
        new = point_of(db, call.project, b, environment=place, at_ns=times and times[1])
        if as_releases:
            old, new = (as_application(db, call.project, each) for each in (old, new))
        old, new = alike(db, call.project, old, new)
        return old, new, diff_points(db, call.project, old, new, parts=_parts(call), deep=deep)

    old, new, found = await call.platform.database.read(work)
    changes = await anyio.to_thread.run_sync(lambda: [dict(each.as_json()) for each in _readable(call, found)])
    return {
        "from": old.name,
        "to": new.name,
        "from_ref": old.ref,
        "to_ref": new.ref,
        "from_digest": old.digest,
        "to_digest": new.digest,
        "from_at": iso(old.at_ns),
        "to_at": iso(new.at_ns),
        "changes": changes,
    }


def _times(call: Caller, body: Differing) -> tuple[int, int] | None:
    """From when until when; None where no time was given."""
    if body.since is None and body.until is None:
        return None
    if body.since is None:
        raise Invalid("until needs since", where="since", hint="Say from when: since: 7d.")
    zone, now_ns = _zone(body.zone), call.platform.clock.now_ns()
    since_ns = parse_moment(body.since, now_ns=now_ns, zone=zone, what="since")
    until_ns = now_ns if body.until is None else parse_moment(body.until, now_ns=now_ns, zone=zone, end=True, what="until")
    if since_ns >= until_ns:
        raise Invalid(
            f"since is {iso(since_ns)}, which is not before {iso(until_ns)}", where="since", hint="Write the older time first."
        )
    return since_ns + _SHOWN, until_ns + _SHOWN


def _zone(name: str | None) -> dt.tzinfo:
    if name is None:
        return dt.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid(
            f"{name[:80]!r} is not a time zone", where="zone", hint="Write Europe/Berlin, or leave it out for UTC."
        ) from error


def _readable(call: Caller, found: Sequence[Differs]) -> list[Differs]:
    """Without what this caller may not look at."""
    return [
        each
        for each in found
        if all(call.principal.decide("read", name.partition("@")[0]).allowed for name in each.ref.split(" -> "))
    ]


def _parts(call: Caller) -> Parts:
    return Parts(kinds=call.platform.kinds, blobs=call.platform.blobs(call.project))


def _moves_json(found: Sequence[Differs]) -> list[dict[str, Any]]:
    return [dict(each.as_json()) | {"by": each.by, "why": each.why, "at": iso(each.at_ns)} for each in found]
