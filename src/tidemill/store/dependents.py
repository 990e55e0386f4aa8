"""What depends on a version, so that deleting it would break something: each named, with what to do first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import Connection, String, select
from sqlalchemy import cast as sql_cast

from tidemill.core.errors import Problem
from tidemill.core.json import Json
from tidemill.core.records import Version
from tidemill.core.refs import is_ref, parse_ref
from tidemill.store.rollout_rows import rollouts
from tidemill.store.tables import aliases, configs, endpoints, evaluations, versions
from tidemill.store.upsert import in_batches


def dependents(
    db: Connection, project: str, removed: Sequence[Version], *, whole: bool, although_evaluated: bool = False
) -> list[Problem]:
    """Why versions of one artifact cannot be deleted, a problem a reason; none when nothing needs them.

    `whole`: all of the artifact goes, so that configuration which names it without a version counts too.
    `although_evaluated` lets finished evaluations name what is gone.
    """
    first = removed[0]
    found = [
        *_users(db, project, first, {each.digest for each in removed}),
        *_aliases(db, project, first, {each.number for each in removed}),
        *_served(db, project, [each for each in removed if each.kind == "release"]),
        *_evaluated(db, project, removed, although_evaluated=although_evaluated),
    ]
    return found + (list(_configured(db, project, first.bare)) if whole else [])


def _users(db: Connection, project: str, first: Version, digests: set[str]) -> Iterator[Problem]:
    """Versions that refer to one of these, and releases that lock one."""
    columns = (versions.c.kind, versions.c.name, versions.c.number, versions.c.refs, versions.c.spec)
    query = select(*columns).where(versions.c.project == project)
    order = (versions.c.kind, versions.c.name, versions.c.number)
    using = query.where(sql_cast(versions.c.refs, String).contains(first.bare, autoescape=True)).order_by(*order)
    for row in db.execute(using):
        refs = cast("Mapping[str, str]", row.refs)
        if any(digest in digests and parse_ref(written).bare == first.bare for written, digest in refs.items()):
            ref = f"{row.kind}/{row.name}@v{row.number}"
            yield Problem(message=f"{ref} refers to it", hint=f"Delete that first: tidemill delete {ref}")
    locking = query.where(versions.c.kind == "release").where(
        sql_cast(versions.c.spec, String).contains(first.bare, autoescape=True)
    )
    for row in db.execute(locking.order_by(*order)):
        locked = cast("Mapping[str, Mapping[str, Any]]", cast("Mapping[str, Any]", row.spec)["artifacts"])
        if any(name.partition("@")[0] == first.bare and entry["digest"] in digests for name, entry in locked.items()):
            ref = f"release/{row.name}@v{row.number}"
            yield Problem(message=f"{ref} locks it", hint=f"Delete that first: tidemill delete {ref}")


def _aliases(db: Connection, project: str, first: Version, numbers: set[int]) -> Iterator[Problem]:
    query = select(aliases).filter_by(project=project, kind=first.kind, name=first.name).order_by(aliases.c.alias)
    for row in db.execute(query):
        if row.number in numbers:
            yield Problem(
                message=f"the alias {row.alias} points at v{row.number}",
                hint=f"Move it, or remove it: tidemill alias remove {first.bare} {row.alias}",
            )


def _served(db: Connection, project: str, releases: Sequence[Version]) -> Iterator[Problem]:
    digests = {each.digest: each for each in releases}
    if not digests:
        return
    for row in db.execute(select(endpoints).where(endpoints.c.project == project).order_by(endpoints.c.name)):
        previous = row.before[-1][0] if row.before else None
        for digest, what in ((row.release, "serves it"), (previous, "would roll back to it")):
            if digest in digests:
                hint = f"Deploy something else there first: tidemill deploy APP --to endpoint/{row.name}"
                yield Problem(message=f"endpoint/{row.name} {what}", hint=hint)
    running = select(rollouts).filter_by(project=project, status="running").order_by(rollouts.c.endpoint, rollouts.c.id)
    for row in db.execute(running):
        if row.release in digests or row.stable_release in digests:
            hint = f"End it first: tidemill rollout promote|abort endpoint/{row.endpoint}"
            yield Problem(message=f"a rollout at endpoint/{row.endpoint} runs with it", hint=hint)


def _evaluated(db: Connection, project: str, removed: Sequence[Version], *, although_evaluated: bool) -> Iterator[Problem]:
    """Evaluations of releases among these, and on datasets among them."""
    query = select(evaluations.c.id, evaluations.c.status).where(evaluations.c.project == project)
    found: dict[str, str] = {}
    for kind, column, names in (
        ("release", evaluations.c.release, [each.digest for each in removed if each.kind == "release"]),
        ("dataset", evaluations.c.dataset, [each.ref for each in removed if each.kind == "dataset"]),
    ):
        for batch in in_batches(names) if kind == removed[0].kind else ():
            found |= {row.id: row.status for row in db.execute(query.where(column.in_(batch)).order_by(evaluations.c.id))}
    running = [each for each, status in found.items() if status in {"queued", "running"}]
    if running:
        yield Problem(message=f"evaluation {running[0]} is running with it", hint="Wait for it, or cancel its job.")
    done = len(found) - len(running)
    if done and not although_evaluated:
        shown = next(each for each in found if each not in running)
        rest = f" and {done - 1} more" if done > 1 else ""
        yield Problem(
            message=f"evaluation {shown}{rest} was made with it, and could not be explained any more",
            hint="Add --although-evaluated to delete it all the same; the results stay.",
        )


def _configured(db: Connection, project: str, bare: str) -> Iterator[Problem]:
    query = select(configs).where(
        configs.c.project == project, sql_cast(configs.c.spec, String).contains(bare, autoescape=True)
    )
    for row in db.execute(query.order_by(configs.c.kind, configs.c.name, configs.c.environment)):
        if any(is_ref(text) and parse_ref(text).bare == bare for text in texts_in(row.spec)):
            yield Problem(message=f"{row.kind}/{row.name} names it", hint="Change that file first, then apply.")


def texts_in(value: Json) -> Iterable[str]:
    """Every text in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from texts_in(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from texts_in(each)
