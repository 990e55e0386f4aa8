"""Plan and apply: files in, changes out; and then made, all or nothing."""

from __future__ import annotations

import base64
from typing import Any

import anyio.to_thread
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Caller
from tidemill.api.indexes import build_index_job
from tidemill.api.plan_rights import check_plan
from tidemill.api.rerun import estimate_rerun
from tidemill.api.router import Router
from tidemill.core.errors import Conflict, Invalid, TooLarge
from tidemill.govern.changes import check_changes, check_measured
from tidemill.store import applied
from tidemill.store import plan as planning
from tidemill.store.downstream import Downstream, downstream
from tidemill.store.files import Content, FilesFolder
from tidemill.store.prepare import Preparation, prepare, read_documents

router = Router(tags=["plans"])


class FileBody(Body):
    """A file that is not text in the request: by digest of an uploaded blob, or inline as base64."""

    blob: str | None = None
    base64: str | None = None


class ProjectFiles(Body):
    """The project folder: every spec file's text, and what the specs read, by relative path."""

    files: dict[str, str | FileBody]
    environment: str | None = None
    whole: bool = True
    """Whether these are all of the project's files, so that what they no longer say is told."""


class FilesToApply(ProjectFiles):
    """The same, and the digest of the plan that was seen: anything else is refused.

    With `strict` it is refused too where it would undo what another door than files did to the registry since the last apply.
    """

    expected: str | None = None
    strict: bool = False


@router.post("/plan")
async def plan(call: AnyCaller, body: ProjectFiles) -> dict[str, Any]:
    """What `apply` would change. Nothing is written but uploaded content."""
    preparation = await anyio.to_thread.run_sync(_prepare, call, body)
    environment = body.environment or call.platform.settings.environment

    def work(db: Database) -> tuple[planning.Plan, tuple[applied.Drift, ...], Downstream]:
        made = planning.make_plan(
            db,
            project=call.project,
            kinds=call.platform.kinds,
            environment=environment,
            preparation=preparation,
            blobs=call.platform.blobs(call.project),
        )
        check_measured(db, call.project, made)
        drift = applied.find_drift(db, call.project, made.entries, whole=body.whole)
        return made, drift, downstream(db, call.project, made.changes)

    made, drift, left = await call.platform.database.read(work)
    told = await anyio.to_thread.run_sync(made.as_json)
    rerun = await estimate_rerun(call, made)
    return {**told, "drift": [each.as_json() for each in drift], "downstream": left.as_json(), "rerun": rerun}


@router.post("/apply")
async def apply(call: AnyCaller, body: FilesToApply) -> dict[str, Any]:
    """Make the changes, all or nothing; indexes that must be built are built by the jobs named in the answer."""
    preparation = await anyio.to_thread.run_sync(_prepare, call, body)
    environment = body.environment or call.platform.settings.environment
    now_ns = call.platform.clock.now_ns()
    drift: list[applied.Drift] = []

    def check(db: Database, made: planning.Plan) -> None:
        check_plan(call, made)
        drift[:] = applied.find_drift(db, call.project, made.entries, whole=body.whole)
        if body.strict:
            applied.refuse_undoing(drift)
        check_changes(db, call.project, made, who=call.who, role=call.principal.role, now_ns=now_ns)
        _check_blobs(call, made)

    def work(db: Database) -> planning.Applied:
        done = planning.apply_plan(
            db,
            project=call.project,
            kinds=call.platform.kinds,
            environment=environment,
            now_ns=now_ns,
            by=call.who,
            preparation=preparation,
            blobs=call.platform.blobs(call.project),
            expected=body.expected,
            check=check,
        )
        if body.whole:
            applied.record_applied(db, call.project, done.plan.entries, by=call.who, now_ns=now_ns)
        return done

    done = await call.platform.database.write(work)
    jobs = [await build_index_job(call.platform, call.project, each) for each in done.versions if each.kind == "index"]
    return dict(await anyio.to_thread.run_sync(done.plan.as_json)) | {
        "drift": [each.as_json() for each in drift],
        "versions": [{"ref": each.ref, "digest": each.digest} for each in done.versions],
        "jobs": [each for each in jobs if each is not None],
    }


def _check_blobs(call: Caller, made: planning.Plan) -> None:
    """Raise `Conflict` when content that was there as the files were read has been purged since."""
    wanted = [digest for each in made.entries if each.version is not None for digest in each.version.blobs.values()]
    if call.platform.blobs(call.project).missing(wanted):
        raise Conflict("content that these files need was purged meanwhile", hint="Apply again.")


def _prepare(call: Caller, body: ProjectFiles) -> Preparation:
    _, preparation = read_project(call, body)
    if not preparation.items and not preparation.problems:
        raise Invalid("there is no document in these files", hint="Write one, or make a project: tidemill init.")
    return preparation


def read_project(call: Caller, body: ProjectFiles) -> tuple[FilesFolder, Preparation]:
    """The files that were sent, and what their documents say. It reads and puts blobs, so it belongs on a worker thread."""
    most = call.platform.settings.limits.files
    if len(body.files) > most:
        raise TooLarge(f"{len(body.files):,} files are more than {most:,}", hint="Raise files under [limits] in tidemill.toml.")
    blobs = call.platform.blobs(call.project)
    files = FilesFolder({path: _content(path, each) for path, each in body.files.items()}, blobs)
    specs = sorted(path for path, each in body.files.items() if isinstance(each, str) and path.endswith((".yaml", ".yml")))
    documents, problems = read_documents(files, specs)
    return files, prepare(files=files, documents=documents, kinds=call.platform.kinds, problems=problems)


def _content(path: str, given: str | FileBody) -> Content:
    if isinstance(given, str):
        return given.encode("utf-8", "surrogatepass")
    if given.blob is not None:
        return given.blob
    try:
        return base64.b64decode(given.base64 or "", validate=True)
    except ValueError as error:
        raise Invalid("the content is not base64", where=path) from error
