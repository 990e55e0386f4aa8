"""`tidemill db` beside no server; with one see the end-to-end tests."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

SPEC = "kind: model\nname: m\nprovider: test\nreply: hi\n"


def applied(tidemill, tmp_path: Path) -> None:
    (tmp_path / "tidemill").mkdir()
    (tmp_path / "tidemill" / "m.yaml").write_text(SPEC)
    (tmp_path / "tidemill.toml").touch()
    assert tidemill("apply", "--yes").code == 0


def test_a_backup_is_restored_elsewhere(tidemill, tmp_path, monkeypatch):
    applied(tidemill, tmp_path)
    made = json.loads(tidemill("db", "backup", "kept.zip", "--json").out)
    assert made["rows"] > 0
    assert Path("kept.zip").stat().st_size == made["bytes"]
    again = tidemill("db", "backup", "kept.zip")
    assert (again.code, "a file of that name" in again.err) == (6, True)
    monkeypatch.setenv("TIDEMILL_DATA", str(tmp_path / "other"))
    assert "restored" in tidemill("db", "restore", "kept.zip").out
    assert "model/m" in tidemill("get").out
    full = tidemill("db", "restore", "kept.zip")
    assert (full.code, "nothing was changed" in full.err) == (6, True)
    wrong = tidemill("db", "restore", "kept.zip", "--force", "no")
    assert (wrong.code, f"--force {tmp_path.name}" in wrong.err) == (2, True)
    assert tidemill("db", "restore", "kept.zip", "--force", tmp_path.name).code == 0


def test_a_backup_that_is_cut_off_is_refused(tidemill, tmp_path, monkeypatch):
    applied(tidemill, tmp_path)
    assert tidemill("db", "backup", "kept.zip").code == 0
    Path("kept.zip").write_bytes(Path("kept.zip").read_bytes()[:-100])
    monkeypatch.setenv("TIDEMILL_DATA", str(tmp_path / "other"))
    refused = tidemill("db", "restore", "kept.zip")
    assert refused.code == 2
    assert "cut off" in refused.err
    assert not (tmp_path / "other").exists()


def test_the_state_says_what_is_to_be_done(tidemill, tmp_path):
    none = tidemill("db", "status")
    assert none.code == 1
    assert "none yet" in none.out
    applied(tidemill, tmp_path)
    ended = tidemill("db", "status", "--json")
    assert ended.code == 0, ended
    found = json.loads(ended.out)
    assert (found["kind"], found["integrity"], found["pending"], found["tables"]["versions"]) == ("sqlite", "ok", [], 1)
    assert "up to date" in tidemill("db", "upgrade").out
    with sqlite3.connect(tmp_path / ".tidemill" / "meta.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    newer = tidemill("db", "status")
    assert (newer.code, "made by a newer Tidemill" in newer.err) == (6, True)


def test_a_database_that_does_not_answer_is_one_line_without_its_password(tidemill, monkeypatch):
    monkeypatch.setenv("TIDEMILL_DATABASE", "postgresql://ana:hush@127.0.0.1:1/tide")
    for command in (("db", "status"), ("get",), ("db", "backup", "kept.zip")):
        failed = tidemill(*command)
        assert failed.code == 5, failed
        assert "does not answer" in failed.err
        assert "hush" not in failed.err + failed.out
        assert "Traceback" not in failed.err
    assert not Path("kept.zip").exists()
