"""The filter of a request: read, a saved one looked up, and references in it resolved (`release = handbook@production`)."""

from __future__ import annotations

from typing import Final

from tidemill.api.caller import Caller
from tidemill.api.releases import load_bundle
from tidemill.core.errors import Invalid, NotFound
from tidemill.core.refs import is_digest
from tidemill.store.saved_queries import get_saved_query
from tidemill.telemetry.expression import EVERYTHING, And, Expression, parse, replace_values, values_of

_KINDS: Final = ("chain", "agent", "function", "endpoint", "prompt", "model", "route")


async def read_filter(call: Caller, text: str | None, *, saved: str | None = None) -> Expression:
    """The expression of a filter, of a saved one, or of both. Raises `Invalid`, or `NotFound` for what it names."""
    now_ns = call.platform.clock.now_ns()
    found = parse(text or "", now_ns=now_ns)
    if saved is not None:
        kept = await call.platform.database.read(lambda db: get_saved_query(db, call.project, saved))
        known = parse(kept.filter, now_ns=now_ns)
        found = known if found == EVERYTHING else And((known, found))
    names = [each for each in values_of(found, "release") if each and not is_digest(each) and ("@" in each or "/" in each)]
    return replace_values(found, "release", {each: await _digest(call, each) for each in names})


async def _digest(call: Caller, reference: str) -> str:
    """The release's digest that a reference names, with its kind or without."""
    tried = [reference] if "/" in reference else [f"{kind}/{reference}" for kind in _KINDS]
    for each in tried:
        try:
            return (await load_bundle(call, each)).release
        except (NotFound, Invalid):
            if len(tried) == 1:
                raise
    raise NotFound(
        f"no application {reference!r} in project {call.project}", where="filter", hint="Write release = chain/NAME@ALIAS."
    )
