"""Taking traces out of the span store, its roll-ups, the files of payloads and the spool, for good.

Every step may be done again, so that an erasure goes on where a kill left it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import anyio.to_thread
import orjson

from tidemill.core.errors import Unavailable
from tidemill.core.json import Json
from tidemill.store.disk import write_whole
from tidemill.store.trace_erasures import What
from tidemill.telemetry.engine.protocol import Engine, EngineDied, Refused
from tidemill.telemetry.privacy.payloads import FIELDS, Payloads
from tidemill.telemetry.questions.semantic import digests_of
from tidemill.telemetry.row import decode_value
from tidemill.telemetry.schema.erased import TABLES
from tidemill.telemetry.store import Telemetry

AT_ONCE: Final = 500
"""Traces that are taken out together."""
PATIENT_SECONDS: Final = 600.0
"""How long an erasure waits for spans that are still on their way to the store."""
_GONE_SECONDS: Final = 90.0
_LOOK_SECONDS: Final = 0.5
_FIRST_LOOK_SECONDS: Final = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What some traces hold: how many spans, from when to when they began, their texts, and by what their vectors are kept."""

    spans: int = 0
    from_ns: int = 0
    to_ns: int = 0
    texts: frozenset[str] = frozenset()
    vectors: frozenset[str] = frozenset()


async def traces_with(
    engine: Engine, project: str, what: What, values: Sequence[str], *, before_ns: int
) -> AsyncIterator[Sequence[str]]:
    """The traces in which a span has one of these as its user or session and began before, in pages."""
    after = ""
    while True:
        rows = await engine.query(
            f"SELECT DISTINCT toString(trace_id) AS trace FROM spans WHERE project = {{project:String}}"  # noqa: S608  (a column of ours)
            f" AND {what} IN {{values:Array(String)}} AND trace_id > {{after:String}}"
            f" AND start < fromUnixTimestamp64Nano({{before:Int64}}) ORDER BY trace LIMIT {AT_ONCE}",
            {"project": project, "values": list(values), "after": after, "before": before_ns},
        )
        if not rows:
            return
        yield [str(row[0]) for row in rows]
        after = str(rows[-1][0])


async def look_at(engine: Engine, project: str, traces: Sequence[str], *, before_ns: int) -> Held:
    """What these traces hold now, of what began before."""
    rows = await engine.query(
        "SELECT toUnixTimestamp64Nano(start), input, output FROM spans WHERE project = {project:String}"
        " AND trace_id IN {traces:Array(String)} AND start < fromUnixTimestamp64Nano({before:Int64})",
        {"project": project, "traces": list(traces), "before": before_ns},
    )
    if not rows:
        return Held()
    starts = [cast("int", row[0]) for row in rows]
    texts = {text for row in rows for each in row[1:] for text in _texts(decode_value(str(each)))}
    vectors = {digest for row in rows for each in row[1:] for digest in digests_of(str(each))}
    return Held(spans=len(rows), from_ns=min(starts), to_ns=max(starts) + 1, texts=frozenset(texts), vectors=frozenset(vectors))


async def remove_payloads(engine: Engine, payloads: Payloads, project: str, traces: Sequence[str], *, before_ns: int) -> int:
    """Remove the files of these traces' payloads, whether their rows name them or not; how many."""
    rows = await engine.query(
        "SELECT toString(trace_id), toString(span_id), input_at, output_at FROM spans WHERE project = {project:String}"
        " AND trace_id IN {traces:Array(String)} AND start < fromUnixTimestamp64Nano({before:Int64})",
        {"project": project, "traces": list(traces), "before": before_ns},
    )

    def work() -> int:
        names = {str(name) for row in rows for name in row[2:] if name}
        if payloads.has(project):
            names |= {payloads.name(project, str(row[0]), str(row[1]), field) for row in rows for field in FIELDS}
        return sum(payloads.remove(project, name) for name in names)

    return await anyio.to_thread.run_sync(work)


async def delete_traces(telemetry: Telemetry, project: str, traces: Sequence[str], held: Held, *, before_ns: int) -> None:
    """Delete the rows of these traces; numbers are made again without them."""
    await forget_vectors(telemetry.engine, project, held.vectors)
    bound = {"project": project, "traces": list(traces), "before": before_ns}
    mine = "project = {project:String} AND trace_id IN {traces:Array(String)}"
    await delete_rows(telemetry.engine, "spans", f"{mine} AND start < fromUnixTimestamp64Nano({{before:Int64}})", bound)
    await delete_rows(telemetry.engine, "scores", f"{mine} AND at < fromUnixTimestamp64Nano({{before:Int64}})", bound)
    if held.spans:
        await settled(lambda: telemetry.rollups.mark_dirty(project, held.from_ns, held.to_ns))


async def delete_person(telemetry: Telemetry, project: str, what: What, values: Sequence[str], *, before_ns: int) -> None:
    """Delete what is kept of a person beside the traces: scores that they gave, points of metrics, numbers by user."""
    engine, salt = telemetry.engine, secrets.token_hex(16)
    quoted = [orjson.dumps(each).decode() for each in values]
    rows = await engine.query(
        "SELECT arrayMap(each -> toString(sipHash64(concat({salt:String}, each))), {values:Array(String)})",
        {"salt": salt, "values": [*values, *quoted]},
    )
    # The store keeps the text of what it was told to delete, so that says no name but salted hashes.
    bound: dict[str, object] = {"project": project, "salt": salt, "hashed": rows[0][0], "before": before_ns}
    is_one = "toString(sipHash64(concat({{salt:String}}, toString({0})))) IN {{hashed:Array(String)}}"
    mine, before = "project = {project:String}", "fromUnixTimestamp64Nano({before:Int64})"
    if what == "user":
        await delete_rows(engine, "scores", f"{mine} AND {is_one.format('author')} AND at < {before}", bound)
        await delete_rows(engine, "rollup_user_hour", f"{mine} AND {is_one.format('user')}", bound)
    holds = " OR ".join(
        f"arrayExists(each -> {is_one.format('each')}, mapValues({column}))" for column in ("attributes", "resource")
    )
    await delete_rows(engine, "metric_points", f"{mine} AND time < {before} AND ({holds})", bound)


async def forget_vectors(engine: Engine, project: str, digests: Collection[str]) -> int:
    """Delete the vectors of texts; how many. Of a text that somebody else has too, one is made again when it is asked for."""
    bound = {"project": project, "digests": sorted(digests)}
    where = "project = {project:String} AND digest IN {digests:Array(String)}"
    rows = await engine.query(f"SELECT count() FROM vectors WHERE {where}", bound)  # noqa: S608  (bound parameters)
    count = cast("int", rows[0][0])
    if count:
        await delete_rows(engine, "vectors", where, bound)
    return count


async def wait_for_disk(engine: Engine) -> bool:
    """Return when no file of what was deleted is left; False when some still are after a while, and go a little later."""
    until = time.monotonic() + _GONE_SECONDS
    while time.monotonic() < until:
        rows = await engine.query(
            "SELECT count() FROM system.parts WHERE database = currentDatabase() AND NOT active"
            " AND table IN {tables:Array(String)}",
            {"tables": list(TABLES)},
        )
        if not rows[0][0]:
            return True
        await asyncio.sleep(_LOOK_SECONDS)
    return False


async def clear_spool(telemetry: Telemetry, gone: Callable[[Mapping[str, object]], bool]) -> None:
    """Let the spool go of all that was projected, and of rows that were put aside and are gone."""
    await telemetry.renew_spool(timeout=PATIENT_SECONDS)
    aside = telemetry.spool_folder / "rejected.jsonl"

    def work() -> None:
        if not aside.exists():
            return
        lines = aside.read_bytes().splitlines()
        kept = [line for line in lines if not _is_gone(line, gone)]
        if len(kept) < len(lines):
            write_whole(aside, b"".join(line + b"\n" for line in kept))

    await anyio.to_thread.run_sync(work)


async def delete_rows(engine: Engine, table: str, where: str, bound: Mapping[str, object]) -> None:
    """Delete rows of a table for good; done when it returns, however long it takes. Raises `Unavailable`."""
    await settled(lambda: engine.execute(f"ALTER TABLE {table} DELETE WHERE {where} SETTINGS mutations_sync = 0", bound))
    pause = _FIRST_LOOK_SECONDS
    while True:  # a large table takes longer than any one call may
        rows = await engine.query(
            "SELECT count(), max(latest_fail_reason) FROM system.mutations WHERE database = currentDatabase()"
            " AND table = {table:String} AND NOT is_done",
            {"table": table},
        )
        if not rows[0][0]:
            return
        if rows[0][1]:
            raise Unavailable(f"the span store could not erase: {rows[0][1]}", hint="The job is tried again.")
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LOOK_SECONDS)


async def settled(ask: Callable[[], object]) -> None:
    """Ask the engine, again when it died meanwhile. Raises `Unavailable`."""
    for last in (False, True):
        try:
            await cast("asyncio.Future[None]", ask())
        except Refused as error:
            raise Unavailable(f"the span store could not erase: {error}", hint="The job is tried again.") from error
        except EngineDied as error:
            if last:
                raise Unavailable(f"the span store could not erase: {error}", hint="The job is tried again.") from error
        else:
            return


def _is_gone(line: bytes, gone: Callable[[Mapping[str, object]], bool]) -> bool:
    with contextlib.suppress(orjson.JSONDecodeError):
        row = orjson.loads(line)
        return isinstance(row, dict) and gone(cast("Mapping[str, object]", row))
    return False


def _texts(value: Json) -> Collection[str]:
    """The texts in a value, the whole of it first."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, Sequence):
        return [text for each in value for text in _texts(each)]
    return []
