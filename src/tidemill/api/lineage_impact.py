"""The answer to "this was withdrawn: what used it?": what was made of it, where that serves, and which requests it answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection as Database

from tidemill.api.caller import Caller
from tidemill.api.lineage_start import Start
from tidemill.api.times import iso
from tidemill.core.errors import MissingExtra
from tidemill.store.lineage_impact import Impact, impact_of
from tidemill.store.lineage_show import Shown
from tidemill.telemetry.questions.lineage import Passage, Requests

_NEWEST: Final = 5


async def impact_json(call: Caller, start: Start, *, limit: int) -> dict[str, Any]:
    """What stands on the start, with the requests that it answered."""
    now_ns = call.platform.clock.now_ns()

    def work(db: Database) -> Impact:
        return impact_of(db, call.project, starts=start.down, own=start.named.ids, limit=limit, now_ns=now_ns)

    found = await call.platform.database.read(work)
    requests = await _requests(call, start, found)
    others = {kind: shown for kind, shown in found.shown.items() if kind not in {"endpoint", "release"}}
    return {
        "of": start.ref,
        "kind": start.kind,
        "counts": found.counts,
        "truncated": found.truncated,
        "endpoints": _endpoints(found, requests),
        "releases": [_thing(each) | _sums(requests, release=each.digest) for each in found.shown.get("release", ())],
        "kinds": {kind: [_thing(each) for each in shown] for kind, shown in others.items()},
        "requests": None if requests is None else requests.as_json(),
    }


class _Answered:
    """The requests of the releases reached, and those of them that used the thing, where that can be told."""

    def __init__(
        self, served: Sequence[Requests], used: Sequence[Requests] | None = None, *, untold: int = 0, newest: Sequence[str] = ()
    ) -> None:
        self.served, self.used = served, used
        self.untold, self.newest = untold, newest

    def as_json(self) -> dict[str, Any]:
        """Both counts, with the first and the last of what was used, else of what was served."""
        return {
            "served": _total(self.served) | _times(self.served),
            "used": None if self.used is None else _total(self.used) | _times(self.used),
            "untold": self.untold,
            "newest": [f"trace/{each}" for each in self.newest],
        }


async def _requests(call: Caller, start: Start, found: Impact) -> _Answered | None:
    """None where spans cannot be asked, for want of an extra."""
    telemetry, project = call.platform.telemetry, call.project
    try:
        served = await telemetry.requests_of(project, found.releases)
        if start.named.point.kind != "document":
            return _Answered(served)
        document = start.named.point.key.partition("#")[2]
        passage = Passage(document=document, indexes=found.indexes, releases=found.releases, chunk=start.named.chunk)
        used, untold = await telemetry.requests_with(project, passage)
        newest = await telemetry.newest_with(project, passage, limit=_NEWEST)
    except MissingExtra:
        return None
    return _Answered(served, used, untold=untold, newest=newest)


def _endpoints(found: Impact, requests: _Answered | None) -> list[dict[str, Any]]:
    """Every endpoint that serves or served what was reached: live ones first, then by requests."""
    known = {each.key: each for each in found.shown.get("endpoint", ())}
    live = {str(at) for each in found.shown.get("release", ()) for at in _live_at(each)}
    made: list[dict[str, Any]] = []
    for name, each in known.items():
        ref = f"endpoint/{name}"
        is_live = ref in live or each.about.get("release") in found.releases
        state = "live" if is_live else "once" if each.state == "live" else each.state
        made.append(_thing(each) | {"state": state} | _sums(requests, endpoint=name))
    return sorted(made, key=lambda each: (each["state"] != "live", -(each["requests"] or 0), each["ref"]))


def _live_at(shown: Shown) -> Sequence[object]:
    at = shown.about.get("live_at")
    return at if isinstance(at, list | tuple) else ()


def _thing(shown: Shown) -> dict[str, Any]:
    return {
        "ref": shown.ref, "kind": shown.kind, "state": shown.state, "by": shown.by, "first": iso(shown.first_ns),
        "digest": shown.digest, "about": shown.about,
    }  # fmt: skip


def _sums(requests: _Answered | None, *, release: str | None = None, endpoint: str | None = None) -> dict[str, Any]:
    """How many requests, and how many of them used the thing; None where it cannot be told."""
    if requests is None:
        return {"requests": None, "used": None}

    def mine(rows: Sequence[Requests]) -> list[Requests]:
        return [each for each in rows if release in {None, each.release} and endpoint in {None, each.endpoint}]

    used = None if requests.used is None else mine(requests.used)
    served = mine(requests.served)
    return {
        "requests": sum(each.requests for each in served),
        "used": None if used is None else sum(each.requests for each in used),
    } | _times(served if used is None else used)


def _total(rows: Sequence[Requests]) -> dict[str, Any]:
    return {"requests": sum(each.requests for each in rows), "evaluated": sum(each.evaluated for each in rows)}


def _times(rows: Sequence[Requests]) -> dict[str, Any]:
    asked = [each for each in rows if each.requests]
    return {
        "first_request": iso(min((each.first_ns for each in asked), default=None)),
        "last_request": iso(max((each.last_ns for each in asked), default=None)),
    }
