"""Promoting a release from environment to environment, by the API."""

from __future__ import annotations

import pytest

from govern.conftest import APP, Project

RULES = """
kind: environment
name: production
from: staging
"""
PROTECTED = """
kind: environment
name: production
from: staging
protected: true
"""
POLICY = """
kind: policy
name: production
protects: ["chain/*@production"]
require:
  - gate("gate/release").result == "passed"
  - approvals.exists(a, a.role == "reviewer")
"""
REACHED = """
kind: connection
name: up
environment: {environment}
provider: openai
base_url: {url}
api_key: env:{key}
headers: {{x-team: {environment}}}
"""
REMOTE = """
kind: model
name: echo
provider: openai
model: m
connection: up
"""
FOLLOWER = """
kind: endpoint
name: live
release: chain/help@production
"""


def promote(who, app="chain/help", *, to="production", **more):
    return who.post(f"/environments/{to}:promote", {"app": app, **more})


def refused(who, app="chain/help", *, to="production", status=403, **more):
    return who.refused("POST", f"/environments/{to}:promote", {"app": app, **more}, status=status)


@pytest.fixture
def dev(project: Project):
    who = project.person("dev", "developer")
    who.apply(APP)
    return who


def remote(text: str) -> str:
    """The application with a model that is reached through `connection/up`."""
    return text.replace('kind: model\nname: echo\nprovider: test\nparams: {reply: "{{input}}"}\n', REMOTE.lstrip())


def test_the_same_digest_moves_and_its_evidence_is_kept(project: Project, dev) -> None:
    evaluation = project.evaluate(dev)
    project.gate(dev, evaluation["id"])
    first = promote(dev, to="staging", why="try it")
    assert first["moved"]
    assert first["release"] == evaluation["release"]
    done = promote(dev, "chain/help@staging", **{"from": "staging"})
    assert done["release"] == evaluation["release"]
    assert done["in_origin"]
    kept = dev.get("/promotions", environment="production")["items"]
    assert [each["id"] for each in kept] == [done["promotion"]["id"]]
    assert kept[0]["evidence"]["evaluations"][0]["id"] == evaluation["id"]
    assert kept[0]["evidence"]["gates"][0]["result"] == "passed"
    assert (kept[0]["by"], kept[0]["from"], kept[0]["before"]) == ("person/dev", "staging", None)
    assert dev.get(f"/promotions/{kept[0]['id']}") == kept[0]
    assert dev.get("/artifacts/chain/help")["aliases"]["production"] == "v1"
    assert [each["target"] for each in project.audit("promote")] == ["chain/help@staging", "chain/help@production"]


def test_a_release_that_a_promotion_makes_is_signed(dev) -> None:
    made = promote(dev, to="staging")
    assert dev.post("/releases:verify", {"release": made["release"]})["holds"]


def test_again_changes_nothing_and_a_trial_neither(project: Project, dev) -> None:
    trial = promote(dev, to="staging", dry_run=True)
    assert not trial["moved"]
    assert dev.get("/promotions")["items"] == []
    assert promote(dev, to="staging")["moved"]
    assert not promote(dev, to="staging")["moved"]
    assert len(dev.get("/promotions")["items"]) == 1
    assert len(project.audit("promote")) == 1


def test_a_rule_says_where_a_release_must_have_been(project: Project, dev) -> None:
    dev.apply(APP, RULES)
    problem = refused(dev)
    assert "was not in staging" in problem["detail"]
    assert problem["hint"] == "Type: tidemill promote chain/help@v1 --to staging"
    assert "was not in staging" in refused(dev, **{"from": "local"})["detail"]
    promote(dev, to="staging")
    assert promote(dev)["moved"]


def test_the_alias_of_an_environment_with_rules_moves_by_a_promotion_alone(project: Project, dev) -> None:
    dev.apply(APP, RULES)
    problem = project.admin.refused("PUT", "/artifacts/chain/help/aliases/production", {"version": "v1"})
    assert problem["hint"] == "Type: tidemill promote chain/help --to production"
    assert dev.put("/artifacts/chain/help/aliases/candidate", {"version": "v1"})["alias"] == "candidate"


def test_a_protected_environment_is_an_operators(project: Project, dev) -> None:
    dev.apply(APP, PROTECTED)
    promote(dev, to="staging")
    problem = refused(dev)
    assert "only an operator or admin" in problem["detail"]
    assert problem["problems"][0]["where"] == "environment/production"
    assert project.audit("policy.denied")[-1]["target"] == "chain/help@production"
    assert promote(project.person("ole", "operator"))["moved"]


def test_the_policy_is_asked_and_says_what_to_type(project: Project, dev) -> None:
    dev.apply(APP, POLICY, RULES)
    promote(dev, to="staging")
    ole, ana = project.person("ole", "operator"), project.person("ana", "reviewer")
    trial = promote(ole, dry_run=True)
    assert not trial["policy"]["allowed"]
    problem = refused(ole)
    assert "tidemill eval" in str(problem)
    assert "tidemill approve" in str(problem)
    evaluation = project.evaluate(dev)
    project.gate(dev, evaluation["id"])
    ana.post("/approvals", {"release": evaluation["release"], "reason": "read it"})
    done = promote(ole)
    assert done["evidence"]["approvals"][0]["who"] == "person/ana"


def test_weakening_an_environment_and_reaching_elsewhere_in_it_is_an_operators(project: Project, dev) -> None:
    dev.apply(APP, PROTECTED)
    weaker = PROTECTED.replace("protected: true", "protected: false")
    for text in (
        weaker,
        PROTECTED.replace("from: staging\n", ""),
        REACHED.format(environment="production", url="http://h", key="K"),
    ):
        files = {"files": {"tidemill/a.yaml": APP, "tidemill/b.yaml": text}}
        problem = dev.refused("POST", "/apply", files)
        assert "environment/production is protected" in problem["detail"]
    assert len(project.audit("environment.denied")) == 3
    project.person("ole", "operator").apply(APP, weaker)
    assert project.audit("environment.weakened")[0]["detail"]["losses"] == ["it is no longer protected"]


def test_connections_that_differ_are_shown_and_secrets_by_reference_only(
    project: Project, dev, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UP_STAGING", "value-of-staging")
    dev.apply(
        remote(APP),
        REACHED.format(environment="staging", url="http://one.example/v1", key="UP_STAGING"),
        REACHED.format(environment="production", url="http://two.example/v1", key="UP_PRODUCTION"),
    )
    promote(dev, to="staging")
    trial = promote(dev, dry_run=True, **{"from": "staging"})
    difference = trial["connections"][0]
    assert difference["fields"] == ["base_url", "api_key"]
    assert (difference["from"]["api_key"], difference["to"]["api_key"]) == ("env:UP_STAGING", "env:UP_PRODUCTION")
    assert difference["to"]["headers"] == ["x-team"]
    assert trial["missing"] == [{"connection": "up", "field": "api_key", "reference": "env:UP_PRODUCTION"}]
    assert "value-of-staging" not in str(trial)
    problem = refused(dev)
    assert "UP_PRODUCTION" in problem["detail"]
    assert promote(dev, elsewhere=True)["moved"]
    shown = dev.get("/environments/production")
    assert shown["connections"][0]["secrets"] == [{"field": "api_key", "reference": "env:UP_PRODUCTION", "found": False}]
    assert shown["promoted"][0]["app"] == "chain/help"
    assert [each["name"] for each in dev.get("/environments")["items"]] == ["local", "production", "staging"]


def test_a_connection_that_is_not_set_there_stops_it(project: Project, dev, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UP_STAGING", "x")
    dev.apply(remote(APP), REACHED.format(environment="staging", url="http://one.example/v1", key="UP_STAGING"))
    assert promote(dev, dry_run=True)["unset"] == [{"connection": "up", "model": "model/echo@v2"}]
    problem = refused(dev, status=400)
    assert "connection/up is not set for environment 'production'" in problem["detail"]
    assert "environment: production" in problem["hint"]


def test_every_missing_secret_is_named_before_anything_runs(project: Project, dev) -> None:
    two = REACHED.format(environment="staging", url="http://one.example/v1", key="NOT_SET_A").replace(
        "x-team: staging", "x-api-key: env:NOT_SET_B"
    )
    dev.apply(remote(APP), two)
    asked = {"app": "chain/help", "environment": "staging"}
    for path, body in (
        ("/runs", {**asked, "inputs": {"question": "?"}}),
        ("/evaluations", {**asked, "data": "dataset/questions"}),
        ("/endpoints/live:deploy", asked),
    ):
        problem = dev.refused("POST", path, body)
        assert problem["detail"] == "2 secrets are missing in the environment 'staging'"
        assert [each["where"] for each in problem["problems"]] == ["connection/up", "connection/up"]
        assert "NOT_SET_A" in problem["problems"][0]["message"] + problem["problems"][1]["message"]
        assert "NOT_SET_B" in problem["problems"][0]["message"] + problem["problems"][1]["message"]
    assert dev.get("/endpoints")["items"] == []
    assert dev.get("/evaluations")["items"] == []


def test_a_pipeline_does_not_start_without_its_secrets(dev) -> None:
    everywhere = REACHED.format(environment="x", url="http://one.example/v1", key="NOT_SET_A").replace("environment: x\n", "")
    steps = "kind: pipeline\nname: go\nsteps:\n  - {id: a, evaluate: {app: chain/help, data: dataset/questions}}\n"
    dev.apply(remote(APP), everywhere, steps)
    assert "NOT_SET_A" in dev.refused("POST", "/pipelines/go:run", {})["detail"]
    assert dev.get("/pipeline-runs")["items"] == []


def test_who_is_known_to_answer_is_told(project: Project, dev) -> None:
    here = "kind: connection\nname: up\nprovider: test\nenvironment: "
    named = APP.replace("provider: test\n", "provider: test\nconnection: up\n", 1)
    dev.apply(named, f"{here}staging\n---\n{here}production\n")
    started = dev.post("/evaluations", {"app": "chain/help", "data": "dataset/questions", "environment": "staging"})
    assert project.finish(f"/jobs/{started['job']}")["status"] == "done"
    trial = promote(dev, dry_run=True, **{"from": "staging"})
    assert [(each["from"], each["to"]) for each in trial["reported"]] == [("test", None)]
    assert trial["evidence"]["evaluations"][0]["environment"] == "staging"


def test_an_endpoint_that_follows_serves_it_at_once_and_through_that_environment(project: Project, dev) -> None:
    dev.apply(APP, FOLLOWER)
    assert dev.get("/endpoints")["items"] == []
    done = promote(dev)
    assert done["deployed"] == ["live"]
    endpoint = dev.get("/endpoints/live")
    assert (endpoint["release"], endpoint["environment"]) == (done["release"], "production")
    assert promote(dev)["deployed"] == []
    dev.apply(APP.replace('text: "{{question}}"', 'text: "Q: {{question}}"'), FOLLOWER)
    assert dev.get("/endpoints/live")["release"] == done["release"]  # an apply moves nothing
    assert promote(dev)["before"] == done["release"]
    assert dev.get("/endpoints/live")["previous"] == done["release"]


def test_a_refusal_at_the_endpoint_leaves_the_alias_where_it_was(project: Project, dev) -> None:
    guard = 'kind: policy\nname: live\nprotects: [endpoint/live]\nrequire: ["approvals.size() > 0"]\n'
    dev.apply(APP, FOLLOWER, guard)
    refused(project.person("ole", "operator"))
    assert "production" not in dev.get("/artifacts/chain/help")["aliases"]
    assert dev.get("/promotions")["items"] == []
    assert dev.get("/endpoints")["items"] == []


@pytest.mark.parametrize(
    ("to", "body", "status", "says"),
    [
        ("producton", {"app": "chain/help"}, 404, "Did you mean production?"),
        ("v2", {"app": "chain/help"}, 400, "looks like a version number"),
        ("production", {"app": "chain/none"}, 404, "chain/none"),
        ("production", {"app": "dataset/questions"}, 400, "cannot be run"),
        ("production", {"app": "chain/help", "from": "production"}, 400, "both where it comes from and where it goes"),
        ("production", {"app": "sha256:" + "0" * 64}, 404, "there is no release"),
        ("production", {"app": "chain/help", "why": "x" * 2001}, 400, "2000"),
        ("production", {"app": "chain/help", "env": "x"}, 400, "env"),
    ],
)
def test_what_makes_no_sense_is_refused(dev, to: str, body: dict, status: int, says: str) -> None:
    assert says in str(dev.refused("POST", f"/environments/{to}:promote", body, status=status))


def test_a_literal_secret_is_refused_at_plan(dev) -> None:
    for line in (
        "api_key: sk-text",
        "headers: {Authorization: Bearer sk-text}",
        "headers: {x-auth-token: sk-text}",
        "base_url: http://user:sk-text@h/v1",
    ):
        files = {"files": {"tidemill/a.yaml": f"kind: connection\nname: up\nprovider: openai\n{line}\n"}}
        assert "sk-text" not in str(dev.refused("POST", "/plan", files, status=400))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("from: [staging]", "from"),
        ("from: No Name", "not allowed"),
        ("protected: maybe", "protected"),
        ("require: [x]", "unknown key 'require'"),
    ],
)
def test_an_environment_says_only_what_it_can(dev, body: str, says: str) -> None:
    files = {"files": {"tidemill/a.yaml": f"kind: environment\nname: production\n{body}\n"}}
    assert says in str(dev.refused("POST", "/plan", files, status=400))
