"""Registry changes for whoever has the files: the new content of each."""

from __future__ import annotations

from typing import Any, Final

import anyio.to_thread
from pydantic import Field
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body
from tidemill.api.plan import ProjectFiles, read_project
from tidemill.api.router import Router
from tidemill.core.errors import Conflict
from tidemill.core.refs import parse_ref
from tidemill.store import applied
from tidemill.store.blobs import Blobs
from tidemill.store.pull import Pulled, Wanted, plan_pull

router = Router(tags=["plans"])
_AS_TEXT: Final = 1024 * 1024


class FilesToPull(ProjectFiles):
    """The project's files, `only` the references to pull (none: all), and whether what was changed in both is the registry's.

    `folder` is where documents go that the files do not have.
    """

    only: tuple[str, ...] = Field(default=(), max_length=10_000)
    theirs: bool = False
    folder: str = "tidemill"


class Written(Body):
    """A document that was written as the registry has it."""

    ref: str
    path: str
    digest: str
    environment: str | None = None


class AllWritten(Body):
    """Every document that a pull wrote."""

    written: tuple[Written, ...] = Field(max_length=100_000)


@router.post("/pull")
async def pull(call: AnyCaller, body: FilesToPull) -> dict[str, Any]:
    """The files as they would say what the registry has: text, or the digest of a blob, by path. Nothing is changed.

    `before` is the digest that each file must have when it is written over; null when there must be none.
    """
    blobs = call.platform.blobs(call.project)
    files, preparation = await anyio.to_thread.run_sync(read_project, call, body)
    environment = body.environment or call.platform.settings.environment

    def work(db: Database) -> Pulled:
        return plan_pull(
            db, call.project, files=files, preparation=preparation, kinds=call.platform.kinds, blobs=blobs,
            environment=environment, wanted=Wanted(only=body.only, theirs=body.theirs, folder=body.folder),
        )  # fmt: skip

    pulled = await call.platform.database.read(work)
    contents = await anyio.to_thread.run_sync(_contents, pulled, blobs)
    return {
        "files": contents,
        "before": pulled.before,
        "changes": pulled.changes,
        "notes": [{"message": each.message, "where": each.where, "hint": each.hint} for each in pulled.notes],
    }


@router.post("/pull:written")
async def note_written(call: AnyCaller, body: AllWritten) -> dict[str, Any]:
    """Note that these documents say now what the registry has, so that the next change of either can be told."""
    places = {(*_names(each.ref), each.environment or ""): each for each in body.written}
    now_ns = call.platform.clock.now_ns()

    def work(db: Database) -> None:
        there = applied.standing(db, call.project, places)
        for key, each in places.items():
            if key not in there or there[key].digest != each.digest:
                raise Conflict(f"{each.ref} was changed in the registry meanwhile", hint="Pull again.")
        paths = {key: each.path for key, each in places.items()}
        applied.record_pulled(db, call.project, paths, by=call.who, now_ns=now_ns)

    await call.platform.database.write(work)
    return {"written": len(places)}


def _names(ref: str) -> tuple[str, str]:
    parsed = parse_ref(ref)
    return parsed.kind, parsed.name


def _contents(pulled: Pulled, blobs: Blobs) -> dict[str, str | dict[str, str]]:
    return {path: _content(content, blobs) for path, content in pulled.files.items()}


def _content(content: bytes, blobs: Blobs) -> str | dict[str, str]:
    if len(content) <= _AS_TEXT:
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return {"blob": blobs.put(content)}
