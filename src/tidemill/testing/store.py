"""The conformance kit of the metadata database: the promises that SQLite and PostgreSQL both keep."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from sqlalchemy import Connection, insert, select

from tidemill.core.errors import Conflict, Invalid
from tidemill.core.json import JsonObject
from tidemill.core.records import Job
from tidemill.store import aliases, audit, jobs, registry
from tidemill.store.database import Database
from tidemill.store.tables import configs, evaluation_samples, projects
from tidemill.testing.policies import LetAll

_PROJECT: Final = "conformance"
_NAMES: Final = ("a", "a-b", "a.b", "a0", "a_b", "ab", "b", "b-1", "ba", "z")
"""In the order of their code points, in which no language sorts them."""
_JSON: Final[JsonObject] = {
    "nul": "a\u0000b", "words": "tide 🌊 \u2028 e\u0301", "large": 2**63 - 1, "small": -(2**63), "tiny": 5e-324, "float": 0.1,
    "deep": [[], {}, None, True, {"": ""}],
}  # fmt: skip
_WRITERS: Final = 4
_EACH: Final = 10


def check_store(database: Database) -> None:
    """Raise `AssertionError` naming the promise that was broken. The database must be empty, and is not afterwards."""
    for check in (_is_all_or_nothing, _loses_no_update, _sorts_by_code_point, _keeps_json, _moves_aliases, _keeps_jobs):
        check(database)


def _is_all_or_nothing(database: Database) -> None:
    def half(db: Connection) -> None:
        db.execute(insert(projects), {"name": "half", "created_ns": 1})
        raise Invalid("no")

    def twice(db: Connection) -> None:
        for _ in range(2):
            db.execute(insert(projects), {"name": "twice", "created_ns": 1})

    for work, expected in ((half, Invalid), (twice, Conflict)):
        try:
            database.write_sync(work)
        except expected:
            continue
        raise AssertionError(f"a transaction that fails raises {expected.__name__}")
    kept = database.read_sync(lambda db: db.execute(select(projects.c.name)).scalars().all())
    assert "half" not in kept, "a transaction that fails leaves nothing"
    assert "twice" not in kept, "a transaction that breaks a rule leaves nothing"


def _loses_no_update(database: Database) -> None:
    def add(number: int) -> None:
        line = functools.partial(audit.append, who="a", action="b", target="c", detail={"n": number}, now_ns=number)
        database.write_sync(lambda db: line(db, _PROJECT))

    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(add, range(_WRITERS * _EACH)))
    report = database.read_sync(lambda db: audit.verify(db, _PROJECT))
    assert (report.ok, report.lines) == (True, _WRITERS * _EACH), "writers at once end as if one after the other"


def _sorts_by_code_point(database: Database) -> None:
    def fill(db: Connection) -> None:
        for name in reversed(_NAMES):
            registry.add_version(
                db, project=_PROJECT, kind="prompt", name=name, parsed_spec={}, refs={}, blobs={}, now_ns=1, description="Tide"
            )

    database.write_sync(fill)
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = database.read_sync(lambda db, at=cursor: registry.list_artifacts(db, _PROJECT, limit=3, cursor=at))
        found += [each.bare.removeprefix("prompt/") for each in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert found == list(_NAMES), f"a list shows every name once, by code points, not {found}"
    searched = database.read_sync(lambda db: registry.list_artifacts(db, _PROJECT, q="tIDE"))
    assert len(searched.items) == len(_NAMES), "a search does not tell large letters from small ones"


def _keeps_json(database: Database) -> None:
    row = {"evaluation": "e", "sample": "s", "replicate": 0, "data": _JSON}
    database.write_sync(lambda db: db.execute(insert(evaluation_samples), row))
    kept = database.read_sync(lambda db: db.execute(select(evaluation_samples.c.data)).scalar_one())
    assert kept == _JSON, "JSON comes back as it was"
    text: dict[str, object] = {
        "project": _PROJECT,
        "kind": "k",
        "name": "n",
        "environment": "",
        "spec": {},
        "tags": {},
        "owner": "",
        "updated_ns": 1,
    }
    try:
        database.write_sync(lambda db: db.execute(insert(configs), {**text, "description": "a\u0000b"}))
    except Invalid:
        return
    kept = database.read_sync(lambda db: db.execute(select(configs.c.description).where(configs.c.kind == "k")).scalar_one())
    assert kept == "a\u0000b", "a text is kept whole or refused as Invalid"


def _moves_aliases(database: Database) -> None:
    for number in range(1, 4):
        database.write_sync(
            lambda db, n=number: registry.add_version(
                db, project=_PROJECT, kind="model", name="m", parsed_spec={"n": n}, refs={}, blobs={}, now_ns=n
            )
        )
    move = functools.partial(aliases.set_alias, now_ns=1, policies=LetAll())
    database.write_sync(lambda db: move(db, _PROJECT, "model/m@v1", "steady"))

    def race(number: int) -> bool:
        try:
            database.write_sync(lambda db: move(db, _PROJECT, f"model/m@v{number}", "steady", expected="v1"))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        won = list(pool.map(race, (2, 3)))
    assert sorted(won) == [False, True], "of two that move an alias from the same place one is told"


def _keeps_jobs(database: Database) -> None:
    job = Job(id="j", project=_PROJECT, kind="k", status="queued", payload=_JSON, created_ns=2**62, updated_ns=2**62)
    first = database.write_sync(lambda db: jobs.create_job(db, job))
    again = database.write_sync(lambda db: jobs.create_job(db, job))
    assert (first, again) == ((job, True), (job, False)), "the same job handed in twice is one"
    assert database.read_sync(jobs.unfinished_jobs) == (job,), "a job that has not ended is found at the next start"
