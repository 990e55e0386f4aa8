"""The names of an archive: aliases, `latest`, and what endpoints serve. They move on request alone, through the policies."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from tidemill.core.extend import PolicyCheck
from tidemill.core.refs import Ref
from tidemill.store.aliases import set_alias
from tidemill.store.archive import Archive
from tidemill.store.endpoints import deploy
from tidemill.store.export import file_of
from tidemill.store.import_report import Report, Rules
from tidemill.store.import_versions import Numbers
from tidemill.store.registry import LATEST
from tidemill.store.tables import alias_moves, aliases, artifacts, endpoints


def move_names(
    db: Connection,
    project: str,
    archive: Archive,
    *,
    rules: Rules,
    policies: PolicyCheck,
    numbers: Numbers,
    report: Report,
) -> None:
    """Move aliases and endpoints to where the archive has them, when the rules say so; else report what would move."""
    _latest(db, project, archive, rules=rules, numbers=numbers, report=report)
    why = f"import of {archive.digest}"
    for row in archive.rows(file_of("aliases")):
        kind, name, alias = str(row["kind"]), str(row["name"]), str(row["alias"])
        number = numbers.here.get((kind, name, int(row["number"])))
        if number is None:
            continue
        ref = Ref(kind=kind, name=name, version=f"v{number}")
        now = db.execute(select(aliases.c.number).filter_by(project=project, kind=kind, name=name, alias=alias)).scalar()
        if now == number:
            continue
        if rules.moves:
            set_alias(
                db, project, ref, alias, policies=policies, by=rules.by, role=rules.role, why=why, now_ns=rules.now_ns
            )  # fmt: skip
        _note(report, f"{ref.at(alias)} -> v{number}", is_moved=rules.moves)
    for row in archive.rows(file_of("endpoints")):
        _endpoint(db, project, str(row["name"]), str(row["release"]), str(row["root"]), rules=rules, policies=policies,
                  numbers=numbers, report=report)  # fmt: skip


def _latest(db: Connection, project: str, archive: Archive, *, rules: Rules, numbers: Numbers, report: Report) -> None:
    for row in archive.rows(file_of("artifacts")):
        key = (str(row["kind"]), str(row["name"]))
        number = numbers.here.get((*key, int(row["latest"])))
        at = {"project": project, "kind": key[0], "name": key[1]}
        now = db.execute(select(artifacts.c.latest).filter_by(**at)).scalar()
        if number is None or key in numbers.made or now == number:
            continue
        if rules.moves:
            db.execute(update(artifacts).filter_by(**at).values(latest=number, updated_ns=rules.now_ns))
            move = {"alias": LATEST, "before": now, "after": number, "moved_by": rules.by, "why": "import"}
            db.execute(insert(alias_moves), {**at, **move, "moved_ns": rules.now_ns})
        _note(report, f"{key[0]}/{key[1]}@latest -> v{number}", is_moved=rules.moves)


def _endpoint(  # noqa: PLR0913  (what serves what, by whom)
    db: Connection,
    project: str,
    name: str,
    release: str,
    root: str,
    *,
    rules: Rules,
    policies: PolicyCheck,
    numbers: Numbers,
    report: Report,
) -> None:
    """Let an endpoint that is not here serve what it served there; one that is here stays as it is."""
    if db.execute(select(endpoints.c.name).filter_by(project=project, name=name)).first() is not None:
        return
    if rules.moves:
        root = numbers.renamed.get(root, root)
        deploy(
            db, project, name, release=release, root=root, policies=policies, by=rules.by, role=rules.role, now_ns=rules.now_ns
        )
    _note(report, f"endpoint/{name} -> {release[:19]}…", is_moved=rules.moves)


def _note(report: Report, line: str, *, is_moved: bool) -> None:
    (report.moved if is_moved else report.not_moved).append(line)
