"""Runs, proposals, scores and alerts as they are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tidemill.core.errors import Conflict, NotFound
from tidemill.store import alerts, monitors
from tidemill.store.alerts import Action, Alert
from tidemill.store.database import Database
from tidemill.store.monitors import LiveScore, MonitorRun, Proposal


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database.open(tmp_path / "meta.db")
    yield found
    found.close()


def run(number: int, *, alarm: bool = False, monitor: str = "m", ended: int = 0) -> MonitorRun:
    return MonitorRun(
        id=f"run-0000{number}", project="p", monitor=monitor, target="endpoint/e", status="done", alarm=alarm, updated_ns=ended
    )


def test_the_newest_alarm_since(database: Database) -> None:
    for each in (run(1, alarm=True, ended=10), run(2, ended=20), run(3, alarm=True, ended=30), run(4, alarm=True, monitor="n")):
        database.write_sync(lambda db, each=each: monitors.create_run(db, each))

    def since(ns: int, monitor: str = "monitor/m") -> str | None:
        found = database.read_sync(lambda db: monitors.last_alarm(db, "p", monitor, since_ns=ns))
        return found and found.id

    assert since(0) == "run-00003"
    assert since(30) == "run-00003"
    assert since(31) is None
    assert since(0, "n") == "run-00004"
    assert database.read_sync(lambda db: monitors.last_alarm(db, "other", "m")) is None


def test_runs_are_found_by_their_beginning(database: Database) -> None:
    for number in (1, 2):
        database.write_sync(lambda db, number=number: monitors.create_run(db, run(number)))
    assert database.read_sync(lambda db: monitors.get_run(db, "p", "run-00001")).id == "run-00001"
    with pytest.raises(Conflict, match="several"):
        database.read_sync(lambda db: monitors.get_run(db, "p", "run-0000"))
    with pytest.raises(NotFound, match="no monitor run"):
        database.read_sync(lambda db: monitors.get_run(db, "q", "run-00001"))
    page = database.read_sync(lambda db: monitors.list_runs(db, "p", monitor="m", limit=1))
    assert [each.id for each in page.items] == ["run-00002"]
    assert page.next


def test_what_was_accepted_stays_where_it_went(database: Database) -> None:
    made = [Proposal(run="r", number=each, project="p", trace_id=f"t{each}", topic="", input="x") for each in (1, 2)]
    database.write_sync(lambda db: monitors.put_proposals(db, made))
    database.write_sync(lambda db: monitors.mark_accepted(db, "r", [1], into="dataset/d@v2", now_ns=5))
    database.write_sync(lambda db: monitors.mark_accepted(db, "r", [1, 2], into="dataset/d@v3", now_ns=6))
    found = database.read_sync(lambda db: monitors.list_proposals(db, "p", "r"))
    assert [each.accepted_into for each in found] == ["dataset/d@v2", "dataset/d@v3"]


def test_a_trace_is_scored_once_by_a_scorer(database: Database) -> None:
    score = LiveScore(project="p", trace_id="t", scorer="sha256:a", metric="short", endpoint="e", value=1.0, start_ns=7)
    for _ in range(2):
        database.write_sync(lambda db: monitors.put_live_scores(db, [score]))
    assert database.read_sync(lambda db: monitors.list_live_scores(db, "p", ["sha256:a"])) == [score]
    assert database.read_sync(lambda db: monitors.list_live_scores(db, "p", ["sha256:a"], endpoint="other")) == []
    assert database.read_sync(lambda db: monitors.scored_traces(db, "p", "sha256:a", ["t", "u"])) == {"t"}
    assert database.read_sync(lambda db: monitors.scored_traces(db, "p", "sha256:b", ["t"])) == set()


def test_a_rule_of_a_run_raises_one_alert(database: Database) -> None:
    alert = Alert(
        id="alert-001", project="p", monitor="m", run="r", rule=0, name="n", condition="true", message="it holds",
        actions=(Action(number=0, kind="webhook", config={"url": "https://x"}), Action(number=1, kind="rollback")),
    )  # fmt: skip
    assert database.write_sync(lambda db: alerts.create_alert(db, alert)) == (alert, True)
    again = replace(alert, id="alert-002")
    assert database.write_sync(lambda db: alerts.create_alert(db, again)) == (alert, False)
    assert [each.id for each in database.read_sync(alerts.pending_alerts)] == ["alert-001"]
    for each in alert.actions:
        done = replace(each, status="done", attempts=1, detail="ok")
        database.write_sync(lambda db, done=done: alerts.update_action(db, "alert-001", done))
    assert database.read_sync(alerts.pending_alerts) == []
    seen = database.write_sync(lambda db: alerts.acknowledge(db, "p", "alert-001", who="ana", note="seen", now_ns=9))
    assert (seen.status, seen.acknowledged_by, seen.note) == ("acknowledged", "ana", "seen")
    second = database.write_sync(lambda db: alerts.acknowledge(db, "p", "alert-001", who="bo", note="me too", now_ns=10))
    assert second.acknowledged_by == "ana"
    assert database.read_sync(lambda db: alerts.list_alerts(db, "p", status="open")).items == ()
