"""Thinning out: spans, payloads, scores and numbers go when a project's rules say that they are kept no longer.

Numbers outlive their spans: before spans go, the roll-ups of their time are frozen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import anyio.to_thread

from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.privacy.erasure import delete_rows, settled
from tidemill.telemetry.rules.spec import KINDS
from tidemill.telemetry.store import Telemetry

_SECOND: Final = 10**9


async def thin_out(telemetry: Telemetry, project: str, retention: Mapping[str, float | None], *, now_ns: int) -> dict[str, int]:
    """Delete what a project keeps no longer; how much of each it was. `retention` is in seconds, None for ever.

    What is not named is kept. A kind of span that is named goes by its own time, the others by `spans`.
    """
    gone: dict[str, int] = {}
    before = {kind: _before(retention, kind, now_ns) for kind in KINDS}
    bounds = {kind: at for kind, at in before.items() if at is not None}
    if bounds:
        gone["spans"] = await _spans(telemetry, project, bounds)
    payloads_before = _at(retention.get("payloads"), now_ns)
    if payloads_before is not None:
        gone["payloads"] = await _payloads(telemetry, project, payloads_before)
    scores_before = _at(retention.get("scores"), now_ns)
    if scores_before is not None:
        bound: Mapping[str, object] = {"project": project, "before": scores_before}
        where = "project = {project:String} AND at < fromUnixTimestamp64Nano({before:Int64})"
        gone["scores"] = await _count(telemetry.engine, "scores", where, bound)
        if gone["scores"]:
            await delete_rows(telemetry.engine, "scores", where, bound)
    numbers_before = _at(retention.get("numbers"), now_ns)
    if numbers_before is not None:
        await settled(lambda: telemetry.rollups.forget(project, before_ns=numbers_before))
    return gone


async def sweep_payloads(telemetry: Telemetry, project: str, *, before_s: float) -> int:
    """Remove files that no row names and that were written before; a retry or a kill left them. How many."""
    payloads = telemetry.gate.payloads
    if payloads is None or not payloads.has(project):
        return 0
    await telemetry.flush()
    rows = await telemetry.engine.query(
        "SELECT DISTINCT arrayJoin([input_at, output_at]) AS name FROM spans WHERE project = {project:String}"
        " AND (input_at != '' OR output_at != '')",
        {"project": project},
    )
    named = {str(row[0]) for row in rows}

    def work() -> int:
        return sum(payloads.remove(project, each) for each in payloads.names(project, before=before_s) if each not in named)

    return await anyio.to_thread.run_sync(work)


async def _spans(telemetry: Telemetry, project: str, bounds: Mapping[str, int]) -> int:
    """Delete spans by the bounds of their kinds, with their payloads."""
    engine = telemetry.engine
    mine = (
        "project = {project:String} AND start < fromUnixTimestamp64Nano(arrayElement({ends:Array(Int64)},"
        " indexOf({kinds:Array(String)}, toString(kind))))"
    )
    bound: Mapping[str, object] = {"project": project, "kinds": list(bounds), "ends": list(bounds.values())}
    count = await _count(engine, "spans", mine, bound)
    if not count:
        return 0
    await settled(lambda: telemetry.rollups.freeze(project, max(bounds.values())))
    payloads = telemetry.gate.payloads
    if payloads is not None and payloads.has(project):
        rows = await engine.query(
            f"SELECT DISTINCT arrayJoin([input_at, output_at]) AS name FROM spans WHERE {mine}"  # noqa: S608  (bound parameters)
            " AND (input_at != '' OR output_at != '')",
            bound,
        )
        await anyio.to_thread.run_sync(lambda: [payloads.remove(project, str(row[0])) for row in rows if row[0]])
    await delete_rows(engine, "spans", mine, bound)
    return count


async def _payloads(telemetry: Telemetry, project: str, before_ns: int) -> int:
    payloads = telemetry.gate.payloads
    if payloads is None or not payloads.has(project):
        return 0

    def work() -> int:
        return sum(payloads.remove(project, each) for each in payloads.names(project, before=before_ns / _SECOND))

    return await anyio.to_thread.run_sync(work)


async def _count(engine: Engine, table: str, where: str, bound: Mapping[str, object]) -> int:
    rows = await engine.query(f"SELECT count() FROM {table} WHERE {where}", bound)  # noqa: S608  (bound parameters)
    return cast("int", rows[0][0])


def _before(retention: Mapping[str, float | None], kind: str, now_ns: int) -> int | None:
    return _at(retention[kind] if kind in retention else retention.get("spans"), now_ns)


def _at(seconds: float | None, now_ns: int) -> int | None:
    return None if seconds is None else max(0, now_ns - int(seconds * _SECOND))
