"""Erasing rows: out of every dataset of a project that holds them, and out of what was kept of their use. It cannot be undone.

What stays is a tombstone, here and beside the blob: the row's digest, when, why and by whom, so that a release that locks the
dataset verifies as `erased` and not as broken.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    String,
    Table,
    delete,
    distinct,
    or_,
    select,
    update,
)
from sqlalchemy import cast as sql_cast

from tidemill.core.digests import digest_bytes
from tidemill.core.errors import NotFound, Unavailable
from tidemill.core.json import Json, JsonObject, dump_json, parse_json
from tidemill.core.records import Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.core.rows import decode_value
from tidemill.core.suggest import did_you_mean
from tidemill.store import audit
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.deleted import deleted_versions
from tidemill.store.registry import get_version
from tidemill.store.tables import evaluation_samples, evaluations, metadata, scores, steps, versions
from tidemill.store.upsert import upsert

_ROUNDS = 5
_SHORTEST, _LONGEST, _TEXTS = 8, 2000, 20

erased_rows = Table(
    "erased_rows",
    metadata,
    Column("project", String, primary_key=True),
    Column("blob", String, primary_key=True),
    Column("row", String, primary_key=True),
    Column("why", String, nullable=False),
    Column("erased_by", String, nullable=False),
    Column("erased_ns", BigInteger, nullable=False),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Erased:
    """What went: rows by digest, the blobs that held them, the versions that have those, and what was kept of their use."""

    rows: frozenset[str]
    blobs: tuple[str, ...]
    versions: tuple[str, ...]
    evaluation_samples: int = 0
    steps: int = 0
    scores: int = 0


def rows_of_samples(
    read: Callable[[Callable[[Connection], list[Version]]], list[Version]],
    blobs: Blobs,
    project: str,
    ref: Ref | str,
    samples: Collection[str],
) -> frozenset[str]:
    """The digests of the rows that these samples of a dataset are, in every version of it; `read` is `Database.read_sync`.

    Without a column of ids, a sample is named by its row's number in the version that `ref` names. Raises `NotFound`.
    """
    ref = parse_ref(ref, kind="dataset") if isinstance(ref, str) else ref
    named = read(lambda db: [get_version(db, project, ref)])[0]
    has_ids = "id" in cast("Mapping[str, Json]", named.spec["roles"])
    others = read(lambda db: _datasets(db, project, name=ref.name)) if has_ids else []
    found: dict[str, set[str]] = {}
    for version in (named, *others):
        for sample, digest in _samples(version, blobs):
            if sample in samples:
                found.setdefault(sample, set()).add(digest)
    missing = [each for each in samples if each not in found]
    if missing:
        known = [sample for sample, _ in _samples(named, blobs)]
        raise NotFound(f"{ref} has no sample {missing[0]!r}", hint=did_you_mean(missing[0], known))
    return frozenset(digest for digests in found.values() for digest in digests)


def rows_of_traces(database: Database, blobs: Blobs, project: str, traces: Collection[str]) -> frozenset[str]:
    """The digests of the rows, in every dataset, that were made of one of these traces. Call it on a worker thread."""
    found: set[str] = set()
    seen: set[str] = set()
    for version in database.read_sync(lambda db: _datasets(db, project)):
        columns = cast("Mapping[str, Any]", version.spec.get("columns", {}))
        if version.blobs["rows"] in seen or not {"trace", "traces"} & set(columns):
            continue
        seen.add(version.blobs["rows"])
        try:
            lines = blobs.get(version.blobs["rows"]).split(b"\n")
        except (NotFound, Unavailable):  # nothing can be read from it; verifying tells of it
            continue
        for line in filter(None, lines):
            row = cast("Mapping[str, Json]", parse_json(line, what="a dataset's row"))
            named = [decode_value(row.get("trace")), *_listed(decode_value(row.get("traces")))]
            if any(each in traces for each in named if isinstance(each, str)):
                found.add(digest_bytes(line))
    return frozenset(found)


def forget_texts(db: Connection, project: str, texts: Collection[str]) -> tuple[int, int]:
    """Remove the outputs and scores that were kept for re-use and hold one of these texts; how many of each."""
    wanted = {text[:_LONGEST] for text in texts if len(text) >= _SHORTEST}
    cached = _forget(db, project, wanted, table=steps, columns=(steps.c.output, steps.c.extra))
    return cached, _forget(db, project, wanted, table=scores, columns=(scores.c.reason,))


def erase_rows(
    database: Database, blobs: Blobs, project: str, rows: Collection[str], *, by: str, why: str, now_ns: int, target: str
) -> Erased:
    """Erase the rows with these digests from every dataset of the project. Call it on a worker thread, outside a transaction.

    What is to go is written down first, with a line in the audit about `target`; then the blobs are replaced. After a kill in
    between, `finish_erasures`, or the same call again, does the rest.
    """
    wanted = set(rows)
    told: JsonObject = {"at_ns": str(now_ns), "why": why, "by": by}
    gone: set[str] = set()
    touched: dict[str, None] = {}
    users: dict[str, None] = {}
    uses = (0, 0, 0)
    for _ in range(_ROUNDS):
        held = _held(database.read_sync(lambda db: _datasets(db, project)), blobs, wanted)
        if not held and touched:
            break
        found = {blob: digests for blob, (_, digests) in held.items()}
        note = _Note(project=project, found=found, wanted=wanted, by=by, why=why, now_ns=now_ns, target=target)
        purged = database.write_sync(note.write)
        uses = (uses[0] + purged[0], uses[1] + purged[1], uses[2] + purged[2])
        for blob, (refs, digests) in held.items():
            blobs.erase(blob, digests, told=told)
            gone |= digests
            touched[blob] = None
            users.update(dict.fromkeys(refs))
        if not held:
            break
    return Erased(
        rows=frozenset(gone),
        blobs=tuple(touched),
        versions=tuple(users),
        evaluation_samples=uses[0],
        steps=uses[1],
        scores=uses[2],
    )


def finish_erasures(database: Database, blobs: Callable[[str], Blobs]) -> int:
    """Replace the blobs of which rows were written down as erased and that are still whole; how many there were."""
    done = 0
    for project, blob in database.read_sync(
        lambda db: db.execute(select(erased_rows.c.project, erased_rows.c.blob).distinct()).all()
    ):
        store = blobs(project)
        if store.path(blob).exists():
            tombs = database.read_sync(
                lambda db, at={"project": project, "blob": blob}: db.execute(select(erased_rows).filter_by(**at)).all()
            )
            for each in tombs:
                told: JsonObject = {"at_ns": str(each.erased_ns), "why": each.why, "by": each.erased_by}
                store.erase(blob, {each.row}, told=told)
            done += 1
    return done


def count_erased(db: Connection, project: str, blob: str) -> int:
    """How many rows of a blob were erased."""
    return len(db.execute(select(distinct(erased_rows.c.row)).filter_by(project=project, blob=blob)).all())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Note:
    """One transaction: what is erased is written down, and what was kept of its use goes."""

    project: str
    found: Mapping[str, frozenset[str]]
    wanted: Collection[str]
    by: str
    why: str
    now_ns: int
    target: str

    def write(self, db: Connection) -> tuple[int, int, int]:
        tomb = {"why": self.why, "erased_by": self.by, "erased_ns": self.now_ns}
        rows = [
            {"project": self.project, "blob": blob, "row": row, **tomb}
            for blob, digests in self.found.items()
            for row in sorted(digests)
        ]
        upsert(db, erased_rows, rows)
        texts, samples = _blank_samples(db, self.project, self.wanted)
        cached = _forget(db, self.project, texts, table=steps, columns=(steps.c.output, steps.c.extra))
        scored = _forget(db, self.project, texts, table=scores, columns=(scores.c.reason,))
        detail: JsonObject = {
            "rows": sorted(self.wanted), "blobs": sorted(self.found), "why": self.why, "evaluation_samples": samples,
            "steps": cached, "scores": scored,
        }  # fmt: skip
        audit.append(db, self.project, who=self.by, action="erase", target=self.target, detail=detail, now_ns=self.now_ns)
        return samples, cached, scored


def _datasets(db: Connection, project: str, *, name: str | None = None) -> list[Version]:
    """Every version of every dataset, or of one, those that are deleted too."""
    names = ("kind", "name", "number", "digest", "spec", "blobs")
    found: list[Version] = []
    for table in (versions, deleted_versions):
        query = select(*(table.c[each] for each in names)).filter_by(project=project, kind="dataset")
        if name is not None:
            query = query.filter_by(name=name)
        rows = db.execute(query.order_by(table.c.name, table.c.number))
        found += [Version(project=project, **{each: getattr(row, each) for each in names}) for row in rows]
    return found


def _held(datasets: Sequence[Version], blobs: Blobs, wanted: Collection[str]) -> dict[str, tuple[list[str], frozenset[str]]]:
    """The blobs that hold some of these rows: the versions that have each, and which rows it holds."""
    users: dict[str, list[str]] = {}
    for version in datasets:
        users.setdefault(version.blobs["rows"], []).append(version.ref)
    found: dict[str, tuple[list[str], frozenset[str]]] = {}
    for blob, refs in users.items():
        try:
            lines = blobs.get(blob).split(b"\n")
        except (NotFound, Unavailable):  # nothing can be read from it; verifying tells of it
            continue
        digests = {digest_bytes(line) for line in lines if line} & set(wanted)
        if digests:
            found[blob] = (refs, frozenset(digests))
    return found


def _samples(version: Version, blobs: Blobs) -> Iterator[tuple[str, str]]:
    """Each sample's id and its row's digest."""
    column = cast("Mapping[str, Any]", version.spec["roles"]).get("id")
    for number, line in enumerate(blobs.get(version.blobs["rows"]).split(b"\n"), 1):
        if line:
            row = cast("Mapping[str, object]", parse_json(line, what="a dataset's row"))
            yield (str(decode_value(cast("Json", row.get(column)))) if column else str(number)), digest_bytes(line)


def _blank_samples(db: Connection, project: str, rows: Collection[str]) -> tuple[set[str], int]:
    """Take inputs and outputs out of what evaluations kept of these rows; the texts that were there, and of how many."""
    mine = select(evaluations.c.id).where(evaluations.c.project == project)
    texts: set[str] = set()
    count = 0
    for digest in sorted(rows):
        query = select(evaluation_samples).where(
            evaluation_samples.c.evaluation.in_(mine), sql_cast(evaluation_samples.c.data, String).contains(digest)
        )
        for row in db.execute(query).all():
            data = cast("JsonObject", row.data)
            if data.get("digest") != digest or data.get("erased"):
                continue
            texts.update(_texts([data.get("input"), data.get("output")]))
            blank: JsonObject = {
                **data, "input": None, "output": None, "retrieved": [], "reasons": {}, "score_errors": {}, "metadata": {},
                "error": "erased" if data.get("error") else None, "erased": True,
            }  # fmt: skip
            at = {"evaluation": row.evaluation, "sample": row.sample, "replicate": row.replicate}
            db.execute(update(evaluation_samples).filter_by(**at).values(data=blank))
            count += 1
    return texts, count


def _forget(
    db: Connection, project: str, texts: Collection[str], *, table: Table, columns: Sequence[ColumnElement[Any]]
) -> int:
    """Remove cached rows that hold one of these texts; how many. What else goes with them is only made again."""
    count = 0
    wanted = sorted(texts)
    for start in range(0, len(wanted), _TEXTS):
        holds = [
            sql_cast(column, String).contains(piece, autoescape=True)
            for text in wanted[start : start + _TEXTS]
            for piece in {text, dump_json(text).decode()[1:-1]}
            for column in columns
        ]
        count += db.execute(delete(table).where(table.c.project == project, or_(*holds))).rowcount
    return count


def _listed(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()


def _texts(value: Json) -> Iterator[str]:
    """The texts in a value that are long enough to tell whose they are."""
    if isinstance(value, str):
        if len(value) >= _SHORTEST:
            yield value[:_LONGEST]
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from _texts(each)
