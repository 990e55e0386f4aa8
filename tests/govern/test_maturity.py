"""Maturity is counted, never asked: what was done shows, and what comes next can be typed."""

from __future__ import annotations

import shlex

import pytest

from govern.conftest import APP
from places import database_place
from tidemill.cli.commands import COMMANDS
from tidemill.govern.maturity import CRITERIA, PRACTICES, maturity, with_scores
from tidemill.store.census import take_census
from tidemill.store.database import Database

EVERYTHING = {name: each.needed for each in CRITERIA for name in each.counts}
EVERYTHING |= {"traces": 100, "evaluations": 3, "tune.runs": 2}


def levels(census):
    return {each["practice"]: each["level"] for each in maturity(census, names={})["practices"]}


def test_nothing_is_level_0_and_everything_level_4():
    assert levels({}) == dict.fromkeys(PRACTICES, 0)
    found = maturity(EVERYTHING, names={})
    assert levels(EVERYTHING) == dict.fromkeys(PRACTICES, 4)
    assert found["next"] == []


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda each: f"{each.practice} {each.level} {each.what}")
def test_a_level_needs_every_criterion_of_it_and_below(criterion):
    census = EVERYTHING | dict.fromkeys(criterion.counts, 0)
    assert levels(census)[criterion.practice] == min(
        each.level - 1 for each in CRITERIA if each.practice == criterion.practice and set(each.counts) <= set(criterion.counts)
    )


def test_next_steps_are_three_commands_that_exist_and_name_what_is_there():
    found = maturity({}, names={"APP": "chain/help", "DATASET": "dataset/questions"})
    assert len(found["next"]) == 3
    commands = [each["command"] for each in maturity({}, names={}, next_steps=99)["next"]]
    for command in commands:
        if command.startswith("tidemill "):
            assert shlex.split(command)[1] in COMMANDS, command
    named = [each["command"] for each in maturity({}, names={"APP": "chain/help"}, next_steps=99)["next"]]
    assert "tidemill release chain/help" in named


def test_every_count_is_one_that_the_census_takes(house):
    project = house.project()
    project.admin.apply(APP)
    database = Database.open(database_place(house.data))
    try:
        counted = set(with_scores(database.read_sync(lambda db: take_census(db, project.name)), frozenset()))
    finally:
        database.close()
    by_kind = ("versions.", "changed.", "guardrail", "policy")
    assert {name for each in CRITERIA for name in each.counts if not name.startswith(by_kind)} - {"traces"} <= counted


def test_what_was_done_is_seen(house):
    project = house.project()
    before = {each["practice"]: each for each in project.admin.get("/maturity")["practices"]}
    assert (before["MLOps"]["level"], before["GenAIOps"]["level"]) == (0, 0)
    dev, rita = project.person("dev", "developer"), project.person("rita", "reviewer")
    dev.apply(APP)
    evaluation = project.evaluate(dev)
    dev.post("/endpoints/support:deploy", {"app": "chain/help"})
    rita.post("/approvals", {"release": evaluation["release"], "reason": "read it"})
    found = project.admin.get("/maturity")
    seen = {each["what"]: each["count"] for practice in found["practices"] for each in practice["criteria"]}
    assert seen["releases are evaluated, with intervals"] == 1
    assert seen["answers are scored"] == 1
    assert seen["releases are served at endpoints"] == 1
    assert seen["people approve releases"] == 1
    assert seen["people answer for changes"] == 2
    assert seen["what is deployed passed a gate before"] == 0, "nothing had passed a gate when it was deployed"
    assert found["practices"][0]["level"] == 1
    assert "of those below are" in found["rule"]
