"""Erasing what is kept of a user, a session or a trace, from every place that holds it. It cannot be undone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, cast

import anyio.to_thread
from pydantic import Field, model_validator
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body
from tidemill.api.platform import Platform
from tidemill.api.router import Router
from tidemill.core.errors import NotFound
from tidemill.core.extend import JobContext
from tidemill.core.json import Json
from tidemill.core.records import Job, Progress
from tidemill.store import trace_erasures
from tidemill.store.encryption import decrypt, encrypt
from tidemill.store.erase import erase_rows, forget_texts, rows_of_traces
from tidemill.store.kept_answers import forget_answers_of
from tidemill.store.trace_erasures import PURPOSE, TraceErasure, What
from tidemill.store.usage import forget_subjects
from tidemill.telemetry.privacy import erasure as spans
from tidemill.telemetry.rules.book import USERS
from tidemill.telemetry.rules.redact import keyed_hash

router = Router(tags=["traces"])
ERASE: Final = "traces.erase"
_HOUR_NS: Final = 3600 * 10**9
_Name = Annotated[str, Field(min_length=1, max_length=4096)]


class TraceErase(Body):
    """Whose spans, or which, and why: one of `user`, `session` and `trace`."""

    user: _Name | None = None
    session: _Name | None = None
    trace: _Name | None = None
    why: str = Field(min_length=1, max_length=2000)

    @model_validator(mode="after")
    def _one(self) -> TraceErase:
        if sum(each is not None for each in (self.user, self.session, self.trace)) != 1:
            raise ValueError("name one of user, session and trace")
        return self

    @property
    def what(self) -> tuple[What, str]:
        """Which it is, and its name."""
        if self.user is not None:
            return "user", self.user
        return ("session", self.session) if self.session is not None else ("trace", cast("str", self.trace))


@router.post("/traces:erase", status_code=202)
async def erase_traces(call: AnyCaller, body: TraceErase) -> dict[str, Any]:
    """Erase every trace of a user, of a session, or one trace. What is sent again of it stays erased.

    The job says how far it is, and in its result what went. From the moment of the answer on nothing of it is stored.
    """
    platform = call.platform
    what, value = body.what
    if what == "trace":
        value = await _whole(call, value)
    key = await anyio.to_thread.run_sync(platform.project_keys.get, call.project, PURPOSE)
    wanted = TraceErasure(
        id=platform.ids.text(),
        project=call.project,
        what=what,
        subject=value if what == "trace" else keyed_hash(value, key),
        sealed=None if what == "trace" else encrypt(value.encode("utf-8", "replace"), key, about=f"erasure {call.project}"),
        why=body.why,
        erased_by=call.who,
        at_ns=platform.clock.now_ns(),
    )
    await platform.database.write(lambda db: trace_erasures.begin_erasure(db, wanted))
    job = await platform.jobs.submit(ERASE, {"erasure": wanted.id}, project=call.project, job_id=wanted.id, by=call.who)
    return {"erasure": wanted.id, "job": job.id, "what": what, "subject": wanted.subject}


async def _whole(call: AnyCaller, trace: str) -> str:
    """The trace's whole id; one that is not there can be erased too, before it comes."""
    try:
        return (await call.platform.telemetry.find_trace(call.project, trace)).id
    except NotFound:
        whole = trace.lower().replace("-", "")
        if len(whole) != 32:
            raise
        return whole


@dataclass(kw_only=True, slots=True)
class _Done:
    """What went, by where it was."""

    traces: int = 0
    counts: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, **found: int) -> None:
        for name, count in found.items():
            self.counts[name] = self.counts.get(name, 0) + count


class TraceEraseJob:
    """The job `traces.erase`. Each of its steps may be done again; after a kill it begins anew and finds what is left."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def __call__(self, payload: Mapping[str, Json], context: JobContext) -> Json:
        """Carry out the erasure that the payload names."""
        platform = self._platform
        wanted = await platform.database.read(lambda db: trace_erasures.get_erasure(db, str(payload["erasure"])))
        if wanted.done_ns is not None:
            return wanted.counts
        values = await anyio.to_thread.run_sync(self._values, wanted)
        await platform.telemetry.flush(timeout=spans.PATIENT_SECONDS)
        await self._mark(wanted, values)
        done = _Done()
        await self._erase_traces(wanted, done, context)
        await self._erase_person(wanted, values, done)
        await self._erase_samples(wanted, done)
        await spans.clear_spool(platform.telemetry, _gone(wanted, values))
        done.add(left_on_disk=int(not await spans.wait_for_disk(platform.telemetry.engine)))
        await anyio.to_thread.run_sync(platform.database.scrub)
        counts: dict[str, Json] = {"traces": done.traces, **done.counts}
        now_ns = platform.clock.now_ns()
        await platform.database.write(lambda db: trace_erasures.finish_erasure(db, wanted, counts, now_ns=now_ns))
        await anyio.to_thread.run_sync(platform.database.scrub)
        return counts

    def _values(self, wanted: TraceErasure) -> Sequence[str]:
        """The forms in which the name may be stored: as it is, and hashed."""
        if wanted.sealed is None:
            return ()
        keys = self._platform.project_keys
        sealed = decrypt(wanted.sealed, keys.get(wanted.project, PURPOSE), about=f"erasure {wanted.project}")
        value = sealed.decode()
        return (value, f"hash:{keyed_hash(value, keys.get(wanted.project, USERS))}")

    async def _mark(self, wanted: TraceErasure, values: Sequence[str]) -> None:
        database = self._platform.database
        if wanted.what == "trace":
            await database.write(lambda db: trace_erasures.mark_traces(db, wanted, [wanted.subject]))
            return
        found = spans.traces_with(self._platform.telemetry.engine, wanted.project, wanted.what, values, before_ns=wanted.at_ns)
        async for traces in found:
            await database.write(lambda db, traces=traces: trace_erasures.mark_traces(db, wanted, traces))

    async def _erase_traces(self, wanted: TraceErasure, done: _Done, context: JobContext) -> None:
        """Page by page: what was derived of the traces first, so that nothing is forgotten when it is cut off."""
        platform, after = self._platform, ""
        while traces := await platform.database.read(
            lambda db, after=after: trace_erasures.traces_of(db, wanted, after=after, limit=spans.AT_ONCE)
        ):
            engine, project, before_ns = platform.telemetry.engine, wanted.project, wanted.at_ns
            held = await spans.look_at(engine, project, traces, before_ns=before_ns)
            payloads = platform.telemetry.gate.payloads
            if payloads is not None:
                removed = await spans.remove_payloads(engine, payloads, project, traces, before_ns=before_ns)
                done.add(payloads=removed)

            def work(db: Database, traces: Collection[str] = traces, held: spans.Held = held) -> tuple[int, int, int]:
                return trace_erasures.forget_feedback(db, wanted, traces=traces), *forget_texts(db, wanted.project, held.texts)

            said, cached, scored = await platform.database.write(work)
            done.add(spans=held.spans, feedback=said, steps=cached, scores=scored)
            await spans.delete_traces(platform.telemetry, project, traces, held, before_ns=before_ns)
            done.traces += len(traces)
            after = traces[-1]
            await context.report(Progress(done=done.traces, unit="traces"))

    async def _erase_person(self, wanted: TraceErasure, values: Sequence[str], done: _Done) -> None:
        database = self._platform.database
        if values:
            await spans.delete_person(self._platform.telemetry, wanted.project, wanted.what, values, before_ns=wanted.at_ns)
        users = values if wanted.what == "user" else ()
        if users:
            await self._platform.limits.ledger.flush()
            await database.write(lambda db: forget_subjects(db, wanted.project, [f"user/{each}" for each in users]))
        await self._platform.kept.flush()
        subjects = values or (wanted.subject,)
        kept = await database.write(lambda db: forget_answers_of(db, wanted.project, wanted.what, subjects))
        said = await database.write(lambda db: trace_erasures.forget_feedback(db, wanted, users=users))
        emptied = await database.write(lambda db: trace_erasures.forget_answers(db, wanted))
        done.add(feedback=said, kept_answers=emptied, cached_answers=kept)

    async def _erase_samples(self, wanted: TraceErasure, done: _Done) -> None:
        """Rows of datasets that were made of these traces, with tombstones, so that a release still verifies."""
        platform, after = self._platform, ""
        traces: set[str] = set()
        while page := await platform.database.read(
            lambda db, after=after: trace_erasures.traces_of(db, wanted, after=after, limit=5000)
        ):
            traces.update(page)
            after = page[-1]
        if not traces:
            return
        blobs, now_ns = platform.blobs(wanted.project), platform.clock.now_ns()

        def work() -> int:
            rows = rows_of_traces(platform.database, blobs, wanted.project, traces)
            if not rows:
                return 0
            by, target = wanted.erased_by, f"{wanted.what}/{wanted.subject}"
            gone = erase_rows(
                platform.database, blobs, wanted.project, rows, by=by, why=wanted.why, now_ns=now_ns, target=target
            )
            return len(gone.rows)

        done.add(samples=await anyio.to_thread.run_sync(work))


class EraseLook:
    """Goes on with erasures whose job was never handed in, and clears up after traces that came late; asked at every tick."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def look(self) -> Sequence[str]:
        """Hand in what is missing; the jobs."""
        platform = self._platform
        if not await platform.database.remember("trace erasures", trace_erasures.count_marks):
            return ()
        await self._settle_late()
        wanted = await platform.database.remember("unfinished erasures", trace_erasures.unfinished_erasures)
        return [(await self._hand_in(each)).id for each in wanted]

    async def _hand_in(self, wanted: TraceErasure) -> Job:
        """The erasure's job; after one that failed another, once an hour."""
        platform, payload = self._platform, {"erasure": wanted.id}
        job = await platform.jobs.submit(ERASE, payload, project=wanted.project, job_id=wanted.id)
        hour = (platform.clock.now_ns() - wanted.at_ns) // _HOUR_NS
        if hour < 1 or job.status not in {"failed", "cancelled"}:
            return job
        return await platform.jobs.submit(ERASE, payload, project=wanted.project, job_id=f"{wanted.id}-{hour}")

    async def _settle_late(self) -> None:
        platform = self._platform
        late = await platform.database.remember("late traces", trace_erasures.late_marks)
        for project in sorted({each[0] for each in late}):
            traces = {trace: at_ns for name, trace, at_ns in late if name == project}
            await platform.telemetry.flush()
            before_ns = max(traces.values())
            held = await spans.look_at(platform.telemetry.engine, project, list(traces), before_ns=before_ns)
            await spans.delete_traces(platform.telemetry, project, list(traces), held, before_ns=before_ns)
            await platform.database.write(
                lambda db, project=project, traces=traces: trace_erasures.settle_late(db, project, traces)
            )


def _gone(wanted: TraceErasure, values: Sequence[str]) -> Any:
    """Whether a row that was put aside is of what was erased."""

    def gone(row: Mapping[str, object]) -> bool:
        if row.get("project") != wanted.project:
            return False
        return row.get("trace_id") == wanted.subject if wanted.what == "trace" else row.get(wanted.what) in values

    return gone
