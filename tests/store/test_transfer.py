"""A project taken elsewhere and back: the same digests, merged with what is there, all of it or nothing."""

from __future__ import annotations

import base64
import io
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from store.project import KINDS, apply
from tidemill.core.errors import Denied, Invalid
from tidemill.core.json import dump_json
from tidemill.core.refs import Ref
from tidemill.store import audit
from tidemill.store.aliases import set_alias
from tidemill.store.archive import ArchiveWriter, open_archive
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.store.evaluations import Decision, EvaluationRow, SampleRow, create_evaluation, put_decision, put_samples
from tidemill.store.export import Choice, write_export
from tidemill.store.history import parents_of
from tidemill.store.import_blobs import import_blobs
from tidemill.store.import_report import Report, Rules
from tidemill.store.imports import import_archive
from tidemill.store.project_keys import ProjectKeys, project_keys
from tidemill.store.registry import digest_of, find_version, list_versions
from tidemill.store.release import make_release
from tidemill.store.saved_queries import get_saved_query, put_saved_query
from tidemill.store.tables import evaluation_samples, evaluations, versions

FILES = """\
kind: chain
name: handbook
uses: [prompt/answer, model/local]
---
kind: prompt
name: answer
text: one
---
kind: model
name: local
text: test
---
kind: connection
name: openai
provider: openai
api_key: env:KEY
"""
VERSIONED = {name: kind.versioned for name, kind in KINDS.items()}


class Lets:
    """A policy that lets everything through, or one alias not."""

    def __init__(self, protected: str = "") -> None:
        self.protected, self.asked = protected, list[str]()

    def check(self, _db: Any, _project: str, *, door: str, target: str, **_: Any) -> None:
        self.asked.append(f"{door} {target}")
        if target == self.protected:
            raise Denied(f"{target} is protected")


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs", "p")


@pytest.fixture
def filled(database: Database, blobs: Blobs) -> Database:
    """Two versions of a prompt, a release that was evaluated, an alias."""
    apply(database, blobs, FILES)
    apply(database, blobs, FILES.replace("text: one", "text: two"), now_ns=2)

    def more(db: Any) -> None:
        release = make_release(db, "p", "chain/handbook", now_ns=3).digest
        create_evaluation(
            db, EvaluationRow(id="e" * 36, project="p", release=release, root="chain/handbook@v2", dataset="dataset/d@v1")
        )
        put_samples(db, "e" * 36, [SampleRow(sample="1", replicate=0, data={"scores": {"em": 1.0}, "output": "x"})])
        put_decision(
            db, "p", Decision(gate="gate/g", evaluation="e" * 36, against=None, result="passed", detail={}, decided_ns=4)
        )
        set_alias(db, "p", "prompt/answer@v1", "stable", now_ns=4, policies=Lets(), by="ann")

    database.write_sync(more)
    return database


def export(database: Database, blobs: Blobs, path: Path, choice: Choice | None = None) -> Path:
    with path.open("wb") as file:
        database.read_sync(lambda db: write_export(db, "p", file, blobs=blobs, choice=choice or Choice(), now_ns=9))
    return path


def take(database: Database, path: Path, project: str, *, moves: bool = False, policies: Any = None) -> Report:
    into = Blobs(path.parent / "blobs", project)
    with open_archive(path) as archive:
        import_blobs(archive, into)
        return database.write_sync(
            lambda db: import_archive(
                db, project, archive, rules=Rules(by="ann", now_ns=10, moves=moves), policies=policies or Lets(),
                kinds=VERSIONED, has_blob=into.has, check_config=lambda _kind, _spec: None,
            )
        )  # fmt: skip


def contents(database: Database, project: str) -> set[tuple[str, str, int, str]]:
    query = select(versions.c.kind, versions.c.name, versions.c.number, versions.c.digest).filter_by(project=project)
    return {tuple(row) for row in database.read_sync(lambda db: db.execute(query).all())}


def test_a_project_comes_back_with_the_same_digests(filled: Database, blobs: Blobs, tmp_path: Path) -> None:
    report = take(filled, export(filled, blobs, tmp_path / "e.zip"), "q")
    assert contents(filled, "q") == contents(filled, "p")
    assert report.added["versions"] == 6
    assert report.added["configs"] == report.added["evaluations"] == report.added["decisions"] == 1
    assert report.not_moved == ["prompt/answer@stable -> v1"]
    with filled.engine.connect() as db:
        copied = db.execute(select(evaluations).filter_by(project="q")).one()
        assert copied.id != "e" * 36  # the id is the database's, and was given already
        assert db.execute(select(func.count()).select_from(evaluation_samples).filter_by(evaluation=copied.id)).scalar() == 1
    line = filled.read_sync(lambda db: audit.list_entries(db, "q", action="import")).items[0]
    assert str(line.detail["archive"]).startswith("sha256:")


def test_saved_queries_come_along_and_keys_never(filled: Database, blobs: Blobs, tmp_path: Path) -> None:
    ProjectKeys(filled, tmp_path).get("p", "hashes")
    sealed = filled.read_sync(lambda db: db.execute(select(project_keys.c.sealed)).scalar_one())
    filled.write_sync(
        lambda db: put_saved_query(db, "p", "slow", filter="latency > 2s", description="too long", by="ann", now_ns=5)
    )
    path = export(filled, blobs, tmp_path / "e.zip")
    assert take(filled, path, "q").added["saved_queries"] == 1
    filled.write_sync(lambda db: put_saved_query(db, "q", "slow", filter="latency > 9s", description="", by="bob", now_ns=6))
    assert "saved_queries" not in take(filled, path, "q").added
    assert filled.read_sync(lambda db: get_saved_query(db, "q", "slow")).filter == "latency > 9s"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    key = bytes.fromhex((tmp_path / "keys" / "master.key").read_text())
    for secret in (sealed, key, sealed.hex().encode(), key.hex().encode(), base64.b64encode(sealed)):
        assert not [name for name, content in members.items() if secret in content]


def test_elsewhere_even_the_archive_is_the_same(filled: Database, blobs: Blobs, tmp_path: Path) -> None:
    elsewhere = Database.open(tmp_path / "other.db")
    path = export(filled, blobs, tmp_path / "e.zip")
    take(elsewhere, path, "p", moves=True)
    again = export(elsewhere, blobs, tmp_path / "again.zip")
    with open_archive(path) as one, open_archive(again) as other:
        for name in ("registry/versions.jsonl", "evaluations/evaluations.jsonl", "evaluations/evaluation_samples.jsonl"):
            assert list(one.rows(name)) == list(other.rows(name))
    elsewhere.close()


def test_the_same_archive_again_changes_nothing(filled: Database, blobs: Blobs, tmp_path: Path) -> None:
    path = export(filled, blobs, tmp_path / "e.zip")
    take(filled, path, "q", moves=True)
    report = take(filled, path, "q", moves=True)
    assert not report.added
    assert not report.moved
    assert len(filled.read_sync(lambda db: audit.list_entries(db, "q", action="import")).items) == 1
    assert not take(filled, path, "p").added


def test_an_imported_version_is_made_from_the_one_that_came_with_it(filled: Database, blobs: Blobs, tmp_path: Path) -> None:
    path = export(filled, blobs, tmp_path / "e.zip")
    answer = Ref(kind="prompt", name="answer")
    take(filled, path, "q")
    assert filled.read_sync(lambda db: parents_of(db, "q", answer)) == {1: None, 2: 1}
    apply(filled, Blobs(tmp_path / "blobs", "r"), "kind: prompt\nname: answer\ntext: other\n", project="r")
    take(filled, path, "r")
    assert filled.read_sync(lambda db: parents_of(db, "r", answer)) == {1: None, 2: None, 3: 2}


def test_numbers_that_are_taken_are_given_anew_and_told(filled: Database, blobs: Blobs, tmp_path: Path) -> None:
    path = export(filled, blobs, tmp_path / "e.zip")
    apply(filled, Blobs(tmp_path / "blobs", "q"), "kind: prompt\nname: answer\ntext: other\n", project="q")
    report = take(filled, path, "q")
    assert report.renumbered == [{"from": "prompt/answer@v1", "to": "prompt/answer@v3"}]
    latest = filled.read_sync(lambda db: find_version(db, "q", Ref(kind="prompt", name="answer")))
    assert latest is not None
    assert latest.spec["text"] == "other"
    assert "prompt/answer@latest -> v2" in report.not_moved
    assert filled.read_sync(lambda db: len(list_versions(db, "q", "prompt/answer").items)) == 3


def test_no_alias_moves_around_a_policy(filled: Database, blobs: Blobs, tmp_path: Path) -> None:
    path, policies = export(filled, blobs, tmp_path / "e.zip"), Lets(protected="prompt/answer@stable")
    with pytest.raises(Denied, match="protected"):
        take(filled, path, "q", moves=True, policies=policies)
    assert not contents(filled, "q")
    assert policies.asked == ["alias prompt/answer@stable"]
    assert take(filled, path, "q", moves=True).moved == ["prompt/answer@stable -> v1"]


def test_configuration_that_says_otherwise_here_stays(filled: Database, blobs: Blobs, tmp_path: Path) -> None:
    path = export(filled, blobs, tmp_path / "e.zip")
    other = "kind: connection\nname: openai\nprovider: openai\napi_key: env:OTHER\n"
    apply(filled, Blobs(tmp_path / "blobs", "q"), other, project="q")
    assert take(filled, path, "q").kept == ["connection/openai"]


def test_a_part_with_all_that_it_needs(filled: Database, blobs: Blobs, tmp_path: Path) -> None:
    path = export(filled, blobs, tmp_path / "e.zip", Choice(only=("release/handbook",)))
    report = take(filled, path, "q")
    assert report.added["versions"] == 4
    assert report.added["evaluations"] == 1
    newer = export(filled, blobs, tmp_path / "since.zip", Choice(since_ns=3))
    with pytest.raises(Invalid, match="neither here nor in the archive"):
        take(filled, newer, "r")
    assert not take(filled, newer, "q").added.get("versions")


def forged(path: Path, change: Callable[[str, dict[str, Any]], None]) -> Path:
    """The archive with other rows, and a manifest that fits them."""
    file = io.BytesIO()
    with open_archive(path) as archive, ArchiveWriter(file) as writer:
        for name in archive.sizes:
            if not name.endswith(".jsonl"):
                writer.add(name, archive.pieces(name))
                continue
            rows = [dict(row) for row in archive.rows(name)]
            for row in rows:
                change(name, row)
            writer.add(name, [dump_json(row) + b"\n" for row in rows])
        writer.finish({key: each for key, each in archive.manifest.items() if key not in {"schema", "version", "files"}})
    made = path.with_name("forged.zip")
    made.write_bytes(file.getvalue())
    return made


def on_versions(change: Callable[[dict[str, Any]], None]) -> Callable[[str, dict[str, Any]], None]:
    return lambda name, row: change(row) if name == "registry/versions.jsonl" else None


def resealed(row: dict[str, Any]) -> None:
    row["digest"] = digest_of(row["kind"], spec=row["spec"], refs=row["refs"], blobs=row["blobs"])


def needs_what_is_nowhere(row: dict[str, Any]) -> None:
    row["blobs"] = {"content": "sha256:" + "0" * 64}
    resealed(row)


def needs_itself(row: dict[str, Any]) -> None:
    row["refs"] = {"prompt/answer": row["digest"]}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (on_versions(lambda row: row["spec"].update(text="forged")), "has the digest"),
        (on_versions(lambda row: row.update(digest="sha256:" + "1" * 64)), "has the digest"),
        (on_versions(needs_itself), "has the digest"),  # no content can have a digest that covers itself
        (on_versions(needs_what_is_nowhere), "needs the blob"),
        (on_versions(lambda row: row.pop("owner")), "columns of a version"),
        (on_versions(lambda row: row.update(number=0)), "columns of a version"),
        (on_versions(lambda row: row.update(name="../x")), "not allowed"),
        (on_versions(lambda row: (row.update(kind="nothing"), resealed(row))), "not installed"),
        (
            lambda name, row: row.update(evaluation="other") if name.endswith("evaluation_samples.jsonl") else None,
            "not in the archive",
        ),
        (lambda name, row: row.pop("release") if name.endswith("evaluations.jsonl") else None, "has no release"),
    ],
)
def test_what_does_not_hold_together_is_refused_and_nothing_is_kept(
    change: Callable[[str, dict[str, Any]], None], match: str, filled: Database, blobs: Blobs, tmp_path: Path
) -> None:
    path = forged(export(filled, blobs, tmp_path / "e.zip"), change)
    with pytest.raises(Invalid, match=match):
        take(filled, path, "q")
    assert not contents(filled, "q")
    assert not filled.read_sync(lambda db: audit.list_entries(db, "q")).items


def test_an_import_that_is_killed_at_any_statement_leaves_nothing(filled: Database, blobs: Blobs, tmp_path: Path) -> None:
    path = export(filled, blobs, tmp_path / "e.zip")
    seen = [0]
    stop_at = [10**9]

    def count(*_: object) -> None:
        seen[0] += 1
        if seen[0] == stop_at[0]:
            raise KeyboardInterrupt

    event.listen(filled.engine, "before_cursor_execute", count)
    take(filled, path, "whole")
    total = seen[0]
    for number in range(1, total, 7):
        seen[0], stop_at[0] = 0, number
        with pytest.raises(KeyboardInterrupt):
            take(filled, path, "q")
        stop_at[0] = 10**9
        assert not contents(filled, "q"), number
    assert take(filled, path, "q").added["versions"] == 6


def test_two_imports_at_once_make_one(filled: Database, blobs: Blobs, tmp_path: Path) -> None:
    path, reports = export(filled, blobs, tmp_path / "e.zip"), list[Report]()
    threads = [threading.Thread(target=lambda: reports.append(take(filled, path, "q", moves=True))) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(each.added.get("versions", 0) for each in reports) == [0, 6]
    assert contents(filled, "q") == contents(filled, "p")
