"""What the evaluations of an application would have to run again after an apply: counted from what is cached now."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import anyio.to_thread
from sqlalchemy import Connection as Database

from tidemill.api.caller import Caller
from tidemill.api.evaluations import chosen_scorers
from tidemill.core.digests import artifact_digest
from tidemill.core.errors import TidemillError
from tidemill.core.records import Bundle, Version
from tidemill.core.refs import parse_ref
from tidemill.data.dataset import load_samples
from tidemill.evaluation.foresee import Estimate, foresee_evaluation, parallelism
from tidemill.evaluation.results import SampleResult
from tidemill.store import evaluations, registry, release
from tidemill.store.evaluations import EvaluationRow
from tidemill.store.plan import Plan

_LOOKED_AT: Final = 200
_MOST: Final = 20
"""Pairs of application and dataset that are estimated; a person reads no more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """An evaluation that would be made again: of what, on what, as the last one was asked for."""

    row: EvaluationRow
    bundle: Bundle
    before: Bundle | None
    dataset: Version


async def estimate_rerun(call: Caller, plan: Plan) -> dict[str, Any] | None:
    """The sum, and each application on each dataset that it was last evaluated on; None when the plan changes no such pair."""
    asked = await call.platform.database.read(lambda db: _asked(db, call.project, plan))
    total, found = Estimate(), list[dict[str, Any]]()
    for each in asked:
        try:
            estimate = await _estimate(call, each)
        except TidemillError as error:
            found.append({"app": each.row.root, "dataset": each.dataset.bare, "error": str(error)})
            continue
        total += estimate
        found.append({"app": each.bundle.root.bare, "dataset": each.dataset.bare} | dict(estimate.as_json()))
    if not found:
        return None
    chunks = await _chunks(call, plan)
    return dict((total + Estimate(chunks=chunks)).as_json()) | {"evaluations": found}


async def _estimate(call: Caller, asked: _Asked) -> Estimate:
    platform, config = call.platform, cast("Mapping[str, Any]", asked.row.config)
    scorers = await chosen_scorers(platform, call.project, config.get("scorers") or (), asked.dataset)
    samples = await anyio.to_thread.run_sync(load_samples, asked.dataset, platform.blobs(call.project))
    return await foresee_evaluation(
        bundle=asked.bundle,
        before=asked.before,
        samples=samples[: config.get("limit")],
        scorers=scorers,
        runner=platform.runner,
        project=call.project,
        environment=str(config.get("environment") or platform.settings.environment),
        replicates=int(config.get("n") or 1),
        parallel=await _parallel(call, asked.row),
    )


async def _parallel(call: Caller, row: EvaluationRow) -> float:
    rows = await call.platform.database.read(lambda db: evaluations.get_samples(db, row.id))
    result = cast("Mapping[str, Any]", row.result if isinstance(row.result, Mapping) else {})
    return parallelism((SampleResult.from_json(each.data) for each in rows), float(result.get("duration_ms") or 0.0))


async def _chunks(call: Caller, plan: Plan) -> int:
    """How many chunks the builds of the plan's changed indexes would embed."""
    changed = {each.ref for each in plan.changes if each.was != each.digest}
    planned = _planned(plan)
    total = 0
    for bare, version in planned.items():
        if version.kind == "index" and bare in changed:
            embedder = await call.platform.database.read(lambda db, v=version: _embedder(db, call.project, v, planned))
            with contextlib.suppress(TidemillError):  # the build itself says what is wrong
                total += await call.platform.indexes.to_embed(version, project=call.project, embedder=embedder)
    return total


def _embedder(db: Database, project: str, index: Version, planned: Mapping[str, Version]) -> Version | None:
    written = index.spec.get("embed")
    if not isinstance(written, str):
        return None
    found = planned.get(parse_ref(written).bare)
    if found is not None and found.digest == index.refs.get(written):
        return found
    return registry.find_by_digest(db, project, index.refs[written], kind="embedder")


def _planned(plan: Plan) -> dict[str, Version]:
    return {each.version.bare: each.version for each in plan.entries if each.version is not None}


def _asked(db: Database, project: str, plan: Plan) -> list[_Asked]:
    """The newest evaluation of each application on each dataset, where the plan changes either."""
    changed = {each.ref for each in plan.changes if each.action == "update" and each.was != each.digest}
    planned = _planned(plan)
    newest: dict[tuple[str, str], EvaluationRow] = {}
    for row in evaluations.list_evaluations(db, project, limit=_LOOKED_AT).items if changed else ():
        pair = parse_ref(row.root).bare, parse_ref(row.dataset).bare
        if row.status == "done" and (pair[0] in changed or pair[1] in changed):
            newest.setdefault(pair, row)
    found: list[_Asked] = []
    for (app, data), row in list(newest.items())[:_MOST]:
        with contextlib.suppress(TidemillError):  # deleted since: there is nothing to run again
            root = planned.get(app) or registry.get_version(db, project, app)
            dataset = planned.get(data) or registry.get_version(db, project, data)
            found.append(
                _Asked(row=row, bundle=_bundle(db, project, root, planned), before=_before(db, project, row), dataset=dataset)
            )
    return found


def _before(db: Database, project: str, row: EvaluationRow) -> Bundle | None:
    try:
        return release.load_bundle(db, project, row.release)
    except TidemillError:
        return None


def _bundle(db: Database, project: str, root: Version, planned: Mapping[str, Version]) -> Bundle:
    """The application as the plan would make it: versions of the plan, and of the registry where it names none."""
    by_digest = {each.digest: each for each in planned.values()}
    found = {root.digest: root}
    waiting: list[Version] = [root]
    while waiting:
        version = waiting.pop()
        for written, digest in version.refs.items():
            if digest in found:
                continue
            ref = parse_ref(written)
            needed = by_digest.get(digest) or registry.find_by_digest(db, project, digest, kind=ref.kind, name=ref.name)
            if needed is None:
                needed = registry.get_version(db, project, ref)
            found[digest] = needed
            waiting.append(needed)
    name = artifact_digest("foreseen", spec={"root": root.digest, "needs": sorted(found)}, refs={}, blobs={})
    return Bundle(release=name, root=root, versions=found)
