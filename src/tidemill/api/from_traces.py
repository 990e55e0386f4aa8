"""Samples made of traces and of what was said of them, appended to a dataset."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, cast

import anyio.to_thread
from pydantic import Field

from tidemill.api.append import append_to_dataset, appended_json, latest_dataset
from tidemill.api.caller import AnyCaller, Body, Caller
from tidemill.api.router import Router
from tidemill.api.times import since_ns, to_ns
from tidemill.api.traces_payload import whole_summary
from tidemill.core.errors import Conflict
from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.data.alike import asked, same_words
from tidemill.data.append import Appended, append_rows
from tidemill.data.dataset import load_samples
from tidemill.data.from_traces import PAIR_COLUMNS, Gathering, Shape
from tidemill.store import feedback, registry

router = Router(tags=["datasets"])
_PAGE: Final = 200
_LOOKED_AT: Final = 20_000
_LONGEST: Final = 1024 * 1024
_LABELS: Final[Sequence[feedback.FeedbackKind]] = ("correction", "thumbs")


class FromTraces(Body):
    """Which traces, and what to make of them. Times are ISO 8601; `since` may be a length of time, as in `24h`.

    At most `limit` samples. `pairs`: preference pairs only. `labelled`: only samples with a reference. `dry_run`: say which
    samples it would be and keep nothing. What asks the same as a sample of the datasets `apart` is left out.
    """

    filter: str | None = None
    q: str | None = None
    since: str | None = None
    until: str | None = None
    limit: int = Field(1000, ge=1, le=10_000)
    pairs: bool = False
    labelled: bool = False
    dry_run: bool = False
    apart: tuple[str, ...] = ()


@router.post("/datasets/{name}:from-traces")
async def samples_from_traces(call: AnyCaller, name: str, body: FromTraces) -> dict[str, Any]:
    """Make samples of what applications were asked, newest first, and append them. Inputs it has are not doubled."""
    latest, _ = await latest_dataset(call, name)
    apart = await _words_in(call, body.apart)
    gathering = Gathering(shape=_shape(latest, pairs=body.pairs), pairs=body.pairs, labelled=body.labelled, apart=apart)
    async for traces in _pages(call, body):
        ids = [str(each["id"]) for each in traces]
        said = feedback.feedback_by_trace(
            await call.platform.database.read(lambda db, ids=ids: feedback.list_feedback(db, call.project, trace_ids=ids))
        )
        for each in traces:
            if len(gathering) < body.limit:
                whole, problem = await whole_summary(call, each, most=_LONGEST)
                if problem:
                    gathering.leave_out("its input or output is kept apart, and too large or gone")
                else:
                    gathering.add(whole, said.get(str(each["id"]), ()))
        if len(gathering) >= body.limit or gathering.traces >= _LOOKED_AT:
            break
    rows = gathering.rows()
    found = {"traces": gathering.traces, "joined": gathering.joined, "skipped": dict(gathering.skipped)}

    def make(version: Version | None, lines: bytes) -> Appended:
        return append_rows(version, lines, rows, roles=gathering.roles(), by_input=True)

    if not rows:
        none = Appended(spec={}, lines=b"", added=0, known=0)
        return appended_json(latest, none) | found | {"samples": []}
    if body.dry_run:
        version, lines = await latest_dataset(call, name)
        return appended_json(version, make(version, lines)) | found | {"samples": rows}
    version, appended = await append_to_dataset(call, name, make)
    return appended_json(version, appended) | found | {"samples": rows}


async def _words_in(call: Caller, datasets: Sequence[str]) -> frozenset[str]:
    """What the samples of these datasets ask, by their words."""
    if not datasets:
        return frozenset()
    refs = [parse_ref(each, kind="dataset") for each in datasets]
    found = await call.platform.database.read(lambda db: [registry.get_version(db, call.project, each) for each in refs])
    blobs = call.platform.blobs(call.project)

    def read() -> frozenset[str]:
        return frozenset(same_words(asked(sample)) for each in found for sample in load_samples(each, blobs))

    return await anyio.to_thread.run_sync(read)


def _shape(latest: Version | None, *, pairs: bool) -> Shape | None:
    """The shape of the dataset that is there. Raises `Conflict` where pairs and samples would be mixed."""
    if latest is None:
        return None
    columns = cast("JsonObject", latest.spec["columns"])
    is_pairs = all(name in columns for name in PAIR_COLUMNS)
    if is_pairs != pairs:
        holds, wanted = ("preference pairs", "samples") if is_pairs else ("samples", "preference pairs")
        hint = "Add --pairs, or name another dataset." if is_pairs else "Name another dataset for pairs."
        raise Conflict(f"{latest.ref} holds {holds}, not {wanted}", hint=hint)
    return Shape.of(cast("dict[str, str | list[str]]", latest.spec["roles"]))


async def _pages(call: Caller, body: FromTraces) -> AsyncIterator[Sequence[JsonObject]]:
    """The traces, newest first, a page at a time; where only what was said counts, those alone of which something was said."""
    now_ns = call.platform.clock.now_ns()
    from_ns, until_ns = since_ns(body.since, now_ns=now_ns), to_ns(body.until)
    among = await _labelled(call) if body.pairs or body.labelled else None
    cursor: str | None = None
    while among is None or among:
        page = await call.platform.telemetry.list_traces(
            call.project, filter=body.filter, q=body.q, limit=_PAGE, cursor=cursor, among=among, served=True,
            from_ns=from_ns, to_ns=until_ns,
        )  # fmt: skip
        yield cast("Sequence[JsonObject]", page["items"])
        cursor = cast("str | None", page["next"])
        if cursor is None:
            return


async def _labelled(call: Caller) -> list[str]:
    found = await call.platform.database.read(
        lambda db: feedback.list_feedback(db, call.project, kinds=_LABELS, limit=2 * _LOOKED_AT)
    )
    return list(dict.fromkeys(each.trace_id for each in found))[:_LOOKED_AT]
