"""Taking in an archive: all of it or nothing, merged into what is there.

Content that the project has already is the same version; what is new keeps its number where that is free. An alias, and what an
endpoint serves, move on request alone, and through the policies. Twice the same archive changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Table, insert, select

from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import PolicyCheck
from tidemill.core.json import Json, JsonObject
from tidemill.core.refs import check_name
from tidemill.store import audit
from tidemill.store.archive import Archive
from tidemill.store.config import find_config, put_config
from tidemill.store.export import TABLES, file_of
from tidemill.store.import_links import import_lineage
from tidemill.store.import_names import move_names
from tidemill.store.import_report import Report, Rules
from tidemill.store.import_versions import Numbers, import_versions
from tidemill.store.projects import ensure_project
from tidemill.store.tables import evaluation_samples

_GLOBAL: Final = ("evaluations", "approvals", "promotions")
"""Tables whose ids are the database's and not a project's: an id that another project has gets a new one."""
_PLAIN: Final = (
    "evaluations", "decisions", "approvals", "feedback", "promotions", "release_signatures", "erased_rows", "saved_queries",
)  # fmt: skip
_BATCH: Final = 500


def import_archive(
    db: Connection,
    project: str,
    archive: Archive,
    *,
    rules: Rules,
    policies: PolicyCheck,
    kinds: Mapping[str, bool],
    has_blob: Callable[[str], bool],
    check_config: Callable[[str, JsonObject], None],
) -> Report:
    """Merge an archive into a project, within the caller's transaction.

    `kinds` says of each kind that is installed whether it has versions; `check_config` raises `Invalid` for configuration that
    its kind refuses. Raises `Invalid` for what does not hold together, naming it, and `Denied` when a policy refuses a move.
    """
    report = Report()
    is_new = ensure_project(db, project, now_ns=rules.now_ns, by=rules.by)
    numbers = import_versions(db, project, archive, rules=rules, report=report, kinds=kinds, has_blob=has_blob)
    _configs(db, project, archive, rules=rules, report=report, kinds=kinds, check_config=check_config)
    rename = _Renaming(numbers, _new_ids(db, project, archive))
    for table in _PLAIN:
        _plain(db, project, archive, TABLES[table], rename=rename, report=report)
    _samples(db, archive, rename=rename, report=report)
    import_lineage(db, project, archive, rename=rename.value, report=report)
    move_names(db, project, archive, rules=rules, policies=policies, numbers=numbers, report=report)
    if is_new or report.added or report.moved:
        detail: JsonObject = {
            "archive": archive.digest,
            "from": str(archive.manifest.get("project")),
            "audit": archive.manifest.get("audit"),
            "audit_blob": archive.manifest["files"].get(file_of("audit"), {}).get("digest"),
            **report.as_json(),
        }
        audit.append(
            db, project, who=rules.by, action="import", target=f"project/{project}", detail=detail, now_ns=rules.now_ns
        )
    return report


class _Renaming:
    """Writes references and ids anew where they got another number or id here."""

    def __init__(self, numbers: Numbers, ids: Mapping[str, str]) -> None:
        self._names: dict[str, str] = {**numbers.renamed, **ids}

    def value(self, value: Any) -> Any:
        """The value with every text that is exactly such a name written anew."""
        if not self._names:
            return value
        if isinstance(value, str):
            return self._names.get(value, value)
        if isinstance(value, Mapping):
            return {key: self.value(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, list):
            return [self.value(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
        return value


def _new_ids(db: Connection, project: str, archive: Archive) -> dict[str, str]:
    """A new id for each that another project has: always the same one, so that a second import finds it."""
    found: dict[str, str] = {}
    for name in _GLOBAL:
        table = TABLES[name]
        for row in archive.rows(file_of(name)):
            old = str(row.get("id"))
            owner = db.execute(select(table.c.project).where(table.c.id == old)).scalar()
            if owner is not None and owner != project:
                found[old] = f"{old[:18]}-{digest_bytes(f'{project}/{old}'.encode())[7:24]}"[: len(old)]
    return found


def _configs(
    db: Connection,
    project: str,
    archive: Archive,
    *,
    rules: Rules,
    report: Report,
    kinds: Mapping[str, bool],
    check_config: Callable[[str, JsonObject], None],
) -> None:
    """Connections, endpoints and the like that are missing here; one that is here stays as it is."""
    for row in archive.rows(file_of("configs")):
        kind, name, environment = str(row["kind"]), check_name(str(row["name"])), str(row["environment"]) or None
        place = f"{kind}/{name}" + (f" for environment {environment}" if environment else "")
        if kinds.get(kind, True):
            raise Invalid(f"{place} in the archive is of a kind that is not configuration here", hint="Import it elsewhere.")
        try:
            check_config(kind, row["spec"])
        except Invalid as error:
            raise Invalid(f"{place} in the archive is not valid: {error.message}", hint=error.hint) from error
        old = find_config(db, project, kind, name, environment)
        if old is None:
            outside = {key: row[key] for key in ("description", "tags", "owner")}
            put_config(db, project, kind, name, environment, row["spec"], now_ns=rules.now_ns, **outside)
        elif old.spec != row["spec"]:
            report.kept.append(place)
        report.count("configs", is_new=old is None)


def _plain(db: Connection, project: str, archive: Archive, table: Table, *, rename: _Renaming, report: Report) -> None:
    """Rows that are missing here, found by their key; without one of their own, by all that they say."""
    columns = {each.name for each in table.columns}
    serial = {each.name for each in table.primary_key if each.autoincrement is True}
    required = {each.name for each in table.columns if not each.nullable and each.server_default is None} - serial
    keys = [each.name for each in table.primary_key if each.name not in serial]
    waiting: list[dict[str, Any]] = []
    is_empty = db.execute(select(table.c.project).filter_by(project=project).limit(1)).first() is None
    for row in archive.rows(file_of(table.name)):
        values = {**rename.value({key: each for key, each in row.items() if key in columns}), "project": project}
        if missing := sorted(required - set(values)):
            raise Invalid(f"a row of {file_of(table.name)} has no {missing[0]}", hint="The archive is not whole.")
        at = {key: values[key] for key in keys} or _comparable(table, values)
        is_new = is_empty or db.execute(select(table.c.project).filter_by(**at).limit(1)).first() is None
        report.count(table.name, is_new=is_new)
        if is_new and not serial:
            waiting.append(values)
        elif is_new:
            db.execute(insert(table), values)
        if len(waiting) >= _BATCH:
            db.execute(insert(table), waiting)
            waiting.clear()
    if waiting:
        db.execute(insert(table), waiting)


def _comparable(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a row of a numbered table apart: all but its JSON."""
    return {key: each for key, each in values.items() if not isinstance(each, Mapping | list) and key in table.columns}


def _samples(db: Connection, archive: Archive, *, rename: _Renaming, report: Report) -> None:
    """What each sample gave; only of evaluations that the archive has."""
    mine = {str(rename.value(str(row["id"]))) for row in archive.rows(file_of("evaluations"))}
    problems: list[Problem] = []
    there: dict[str, set[tuple[str, int]]] = {}
    waiting: list[dict[str, Json]] = []
    for row in archive.rows(file_of("evaluation_samples")):
        evaluation = str(rename.value(row["evaluation"]))
        if evaluation not in mine:
            problems.append(Problem(message=f"a sample is of evaluation {evaluation}, which is not in the archive"))
            break
        if evaluation not in there:
            query = select(evaluation_samples.c.sample, evaluation_samples.c.replicate)
            there[evaluation] = {(each.sample, each.replicate) for each in db.execute(query.filter_by(evaluation=evaluation))}
        is_new = (row["sample"], row["replicate"]) not in there[evaluation]
        report.count("evaluation_samples", is_new=is_new)
        if is_new:
            there[evaluation].add((row["sample"], row["replicate"]))
            waiting.append({**row, "evaluation": evaluation, "data": rename.value(row["data"])})
        if len(waiting) >= _BATCH:
            db.execute(insert(evaluation_samples), waiting)
            waiting.clear()
    if problems:
        raise Invalid(problems[0].message, problems=problems)
    if waiting:
        db.execute(insert(evaluation_samples), waiting)
