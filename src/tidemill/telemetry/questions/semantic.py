"""Search by meaning: the inputs and outputs of traces as vectors, embedded when they are first asked about.

A text is embedded once, by its digest; the newest first and no more than a budget at a time, so that a question always ends.
Vectors are compared one by one, in the store.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

import orjson

from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.expression import Where, compile_traces
from tidemill.telemetry.questions.listing import Listing
from tidemill.telemetry.questions.windows import HOUR_NS, LONGEST_TRACE_NS, window_sql
from tidemill.telemetry.row import decode_value

TABLE: Final = "vectors"
MOST_TRACES: Final = 20_000
_LONGEST: Final = 2000
_BATCH: Final = 64


class TextEmbedder(Protocol):
    """Makes a vector of each text, all of one length; `name` says what made them: vectors of one name can be compared."""

    name: str

    async def __call__(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """The vectors, in order."""
        ...


class Keeper(Protocol):
    """Keeps rows of the store; `tidemill.telemetry.store.Telemetry` is one."""

    async def append_rows(self, table: str, rows: Sequence[bytes]) -> None:
        """Return when they are safe."""
        ...

    async def flush(self) -> None:
        """Return when they can be queried."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """Traces by how near they are to what was asked: `(trace id, similarity from -1 to 1, "input" or "output")`.

    `covered` of `texts` inputs and outputs have a vector, `embedded` of them since this question.
    """

    found: Sequence[tuple[str, float, str]]
    texts: int
    covered: int
    embedded: int


def plain_text(stored: str) -> str:
    """What is embedded of an input or output as it is stored: the texts in it, without its form."""
    pieces = list[str]()
    waiting: list[Json] = [decode_value(stored)]
    while waiting and sum(map(len, pieces)) < _LONGEST:
        at = waiting.pop()
        if isinstance(at, str):
            pieces.append(at)
        elif isinstance(at, Mapping):
            waiting += [at[key] for key in reversed(list(at)) if key not in {"role", "type", "id", "tool_call_id", "tools"}]
        elif isinstance(at, Sequence):
            waiting += list(at)[::-1]
    return " ".join(" ".join(pieces).split())[:_LONGEST]


def digests_of(stored: str) -> list[str]:
    """By what the vector of an input or output, as it is stored, is kept; none when there is nothing to embed."""
    text = plain_text(stored[: 3 * _LONGEST])
    return [digest_of(text)] if text else []


def digest_of(text: str) -> str:
    """By what a text's vector is kept."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


async def search(
    engine: Engine, keeper: Keeper, embedder: TextEmbedder, listing: Listing, text: str, *, budget: int
) -> Meaning:
    """The traces of a listing (its newest 20,000) nearest to a text, after at most `budget` further texts were embedded."""
    texts = await _texts(engine, listing)
    known = await _known(engine, listing.project, embedder, list(texts))
    missing = [each for each in texts if each not in known][:budget]
    (asked, *_) = await embedder([text])
    for start in range(0, len(missing), _BATCH):
        batch = missing[start : start + _BATCH]
        vectors = await embedder([texts[each][0] for each in batch])
        rows = [_row(listing, embedder, digest, vector) for digest, vector in zip(batch, vectors, strict=True)]
        await keeper.append_rows(TABLE, rows)
    if missing:
        await keeper.flush()
    near = await _nearest(engine, listing, embedder, list(texts), _unit(asked))
    best: dict[str, tuple[float, str]] = {}
    for digest, similarity in near:
        for trace, side in texts[digest][1]:
            if trace not in best:
                best[trace] = (similarity, side)
        if len(best) >= listing.limit:
            break
    found = [(trace, *held) for trace, held in best.items()][: listing.limit]
    return Meaning(found=found, texts=len(texts), covered=len(known) + len(missing), embedded=len(missing))


async def _texts(engine: Engine, listing: Listing) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """By digest, newest first: the text, and the traces that have it as input or output."""
    where = Where()
    where.add("project = {project:String} AND root", project=listing.project)
    where.clauses.append(window_sql(where, listing.low, listing.high))
    within = window_sql(where, max(0, listing.low - HOUR_NS), listing.high + LONGEST_TRACE_NS)
    compile_traces(listing.filter, where, project=listing.project, within=within)
    rows = await engine.query(
        f"SELECT toString(trace_id), substringUTF8(input, 1, {3 * _LONGEST}), substringUTF8(output, 1, {3 * _LONGEST})"  # noqa: S608  (bound parameters)
        f" FROM spans WHERE {where.sql} ORDER BY toStartOfHour(start) DESC, start DESC LIMIT 1 BY trace_id LIMIT {MOST_TRACES}",
        where.parameters,
    )
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for row in rows:
        for side, stored in (("input", str(row[1])), ("output", str(row[2]))):
            if text := plain_text(stored):
                found.setdefault(digest_of(text), (text, []))[1].append((str(row[0]), side))
    return found


async def _known(engine: Engine, project: str, embedder: TextEmbedder, digests: Sequence[str]) -> set[str]:
    if not digests:
        return set()
    rows = await engine.query(
        "SELECT DISTINCT toString(digest) FROM vectors WHERE project = {project:String} AND embedder = {embedder:String}"
        " AND digest IN {digests:Array(String)}",
        {"project": project, "embedder": embedder.name, "digests": list(digests)},
    )
    return {str(row[0]) for row in rows}


async def _nearest(
    engine: Engine, listing: Listing, embedder: TextEmbedder, digests: Sequence[str], asked: Sequence[float]
) -> Sequence[tuple[str, float]]:
    if not digests:
        return []
    rows = await engine.query(
        "SELECT toString(digest), arraySum(arrayMap((a, b) -> a * b, vector, {asked:Array(Float32)})) AS near FROM vectors"  # noqa: S608  (bound parameters)
        " WHERE project = {project:String} AND embedder = {embedder:String} AND digest IN {digests:Array(String)}"
        " AND length(vector) = {size:UInt32}"
        f" ORDER BY near DESC, digest LIMIT 1 BY digest LIMIT {2 * listing.limit:d}",
        {
            "project": listing.project, "embedder": embedder.name, "digests": list(digests), "asked": list(asked),
            "size": len(asked),
        },
    )  # fmt: skip
    return [(str(row[0]), cast("float", row[1])) for row in rows]


def _row(listing: Listing, embedder: TextEmbedder, digest: str, vector: Sequence[float]) -> bytes:
    row: JsonObject = {
        "project": listing.project, "embedder": embedder.name, "digest": digest, "vector": list(_unit(vector)),
        "at": listing.now_ns,
    }  # fmt: skip
    return orjson.dumps(row)


def _unit(vector: Sequence[float]) -> Sequence[float]:
    """The vector at length 1, rounded to what is kept."""
    size = math.sqrt(sum(each * each for each in vector)) or 1.0
    return [round(float(each) / size, 7) for each in vector]
