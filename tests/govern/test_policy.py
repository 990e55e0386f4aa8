"""What a policy protects, at every door, by the API."""

from __future__ import annotations

import pytest

from govern.conftest import APP, POLICY


def passing(project, dev, reviewer, app="chain/help", **approval):
    """Everything that the policy wants: measured, decided, approved."""
    evaluation = project.evaluate(dev, app)
    project.gate(dev, evaluation["id"])
    reviewer.post("/approvals", {"release": evaluation["release"], "reason": "read five answers", **approval})
    return evaluation["release"]


def test_what_is_missing_is_named_with_the_commands(ready):
    operator = ready.person("olga", "operator")
    told = operator.refused("POST", "/endpoints/support:deploy", {"app": "chain/help"})
    assert told["code"] == "denied"
    gate, approval = told["problems"]
    release = ready.admin.get("/artifacts/release/help")["digest"]
    assert 'endpoint/support needs gate("gate/release").result' in gate["message"]
    assert "was never evaluated" in gate["message"]
    assert "tidemill eval release/help@v1 --data" in gate["hint"]
    assert f"nobody approved {release}" in approval["message"]
    assert "tidemill approve release/help@v1 --role reviewer --for endpoint/support --reason" in approval["hint"]
    ready.admin.refused("GET", "/endpoints/support", status=404)

    dev = ready.person("dev", "developer")
    evaluation = ready.evaluate(dev)
    hint = operator.refused("POST", "/endpoints/support:deploy", {"app": "chain/help"})["problems"][0]["hint"]
    assert hint == f"Ask it: tidemill gate gate/release@v1 {evaluation['id']}"


def test_it_goes_through_when_all_is_there_and_both_are_audited(ready):
    operator = ready.person("olga", "operator")
    operator.refused("POST", "/endpoints/support:deploy", {"app": "chain/help"})
    release = passing(ready, ready.person("dev", "developer"), ready.person("rita", "reviewer"), **{"for": "endpoint/support"})
    assert operator.post("/endpoints/support:deploy", {"app": "chain/help"})["release"] == release
    denied, allowed = ready.audit("policy.denied"), ready.audit("policy.allowed")
    assert [each["who"] for each in denied + allowed] == ["person/olga"] * 2
    assert denied[0]["detail"]["missing"][0]["policy"] == "policy/production"
    assert (allowed[0]["target"], allowed[0]["detail"]["release"]) == ("endpoint/support", release)
    assert [each["target"] for each in ready.audit("deploy")] == ["endpoint/support"]
    assert ready.admin.get("/audit/verify")["ok"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/endpoints/support:deploy", {"app": "chain/help"}),
        ("PUT", "/endpoints/support", {"app": "chain/help"}),
        ("PUT", "/artifacts/chain/help/aliases/production", {"version": "v1"}),
        ("PUT", "/artifacts/chain/help/aliases/production", {"version": "latest"}),
    ],
)
def test_no_door_goes_around_it(ready, method, path, body):
    for who in (ready.admin, ready.person("olga", "operator")):
        told = who.refused(method, path, body)
        assert told["problems"][0]["where"] == "policy/production"
    assert len(ready.audit("policy.denied")) == 2
    assert ready.audit("deploy") == ready.audit("alias") == []


def test_rollouts_ask_it_when_they_start_and_when_they_are_promoted(ready):
    dev, operator, reviewer = (
        ready.person(*each) for each in (("dev", "developer"), ("olga", "operator"), ("rita", "reviewer"))
    )
    passing(ready, dev, reviewer)
    operator.post("/endpoints/support:deploy", {"app": "chain/help"})
    dev.apply(APP.replace('{{question}}"\n---', 'Please: {{question}}"\n---', 1), POLICY)
    start = {"endpoint": "support", "app": "chain/help", "share": 10}
    assert "endpoint/support needs " in operator.refused("POST", "/rollouts", start)["detail"]
    assert operator.get("/rollouts")["items"] == []

    evaluation = ready.evaluate(dev)
    assert ready.gate(dev, evaluation["id"])["result"] == "inconclusive"
    told = operator.refused("POST", "/rollouts", start)
    assert f"gate/release is inconclusive on evaluation {evaluation['id']}" in told["detail"]


def test_a_promotion_is_asked_again(project):
    dev, operator, reviewer = (
        project.person(*each) for each in (("dev", "developer"), ("olga", "operator"), ("rita", "reviewer"))
    )
    dev.apply(APP, POLICY.replace('  - gate("gate/release").result == "passed"\n', ""))
    first = dev.post("/releases", {"root": "chain/help"})["digest"]
    reviewer.post("/approvals", {"release": first, "reason": "fine"})
    operator.post("/endpoints/support:deploy", {"app": first})
    dev.apply(APP.replace('{{question}}"\n---', 'Please: {{question}}"\n---', 1))
    second = dev.post("/releases", {"root": "chain/help"})["digest"]
    assert second != first
    given = reviewer.post("/approvals", {"release": second, "reason": "fine too"})
    operator.post("/rollouts", {"endpoint": "support", "app": second, "share": 10})
    reviewer.delete(f"/approvals/{given['id']}")
    told = operator.refused("POST", "/rollouts/support:promote")
    assert "it was revoked by person/rita" in told["detail"]
    assert operator.get("/endpoints/support")["release"] == first
    reviewer.post("/approvals", {"release": second, "reason": "after all", "for": "endpoint/support"})
    operator.post("/rollouts/support:promote")
    assert operator.get("/endpoints/support")["release"] == second
    doors = [
        (each["detail"]["door"], each["detail"]["allowed"]) for each in project.audit("policy") if "door" in each["detail"]
    ]
    assert doors == [("deploy", True), ("rollout", True), ("promote", False), ("promote", True)]
    assert [each["action"] for each in project.audit("rollout")] == ["rollout.started", "rollout.promoted"]

    back = operator.post("/endpoints/support:rollback")
    assert back["release"] == first, "an incident waits for no signature"


def test_a_rollback_asks_a_policy_that_says_so(project):
    dev, operator = project.person("dev", "developer"), project.person("olga", "operator")
    dev.apply(APP)
    operator.post("/endpoints/support:deploy", {"app": "chain/help"})
    dev.apply(APP.replace('{{question}}"\n---', 'Please: {{question}}"\n---', 1))
    operator.post("/endpoints/support:deploy", {"app": "chain/help"})
    strict = (
        "{kind: policy, name: strict, protects: [endpoint/support], doors: [rollback], require: ['who == \"person/boss\"']}"
    )
    dev.apply(strict)
    told = operator.refused("POST", "/endpoints/support:rollback")
    assert told["problems"][0]["where"] == "policy/strict"
    boss = project.person("boss", "operator")
    boss.post("/endpoints/support:rollback")


def test_applying_an_endpoints_document_serves_nothing(ready):
    ready.person("dev", "developer").apply("{kind: endpoint, name: support, app: chain/help}")
    ready.admin.refused("GET", "/endpoints/support", status=404)


def test_a_developer_deploys_where_nothing_is_protected(ready):
    dev = ready.person("dev", "developer")
    assert dev.post("/endpoints/sandbox:deploy", {"app": "chain/help"})["name"] == "sandbox"
    passing(ready, dev, ready.person("rita", "reviewer"))
    told = dev.refused("POST", "/endpoints/support:deploy", {"app": "chain/help"})
    assert "person/dev acts as developer\nonly an operator or admin may change what answers there" in told["detail"]
    assert "--role operator" in told["hint"]
    check = dev.post("/policies:check", {"app": "chain/help", "target": "endpoint/support"})
    assert (check["allowed"], check["missing"], bool(check["role"])) == (False, [], True)


def test_the_check_tells_without_noting(ready):
    operator = ready.person("olga", "operator")
    told = operator.post("/policies:check", {"app": "chain/help", "target": "chain/help@production"})
    assert (told["door"], told["allowed"], len(told["missing"])) == ("alias", False, 2)
    assert operator.post("/policies:check", {"app": "chain/help", "target": "endpoint/free"})["allowed"]
    assert ready.audit("policy.denied") == []
    operator.refused("POST", "/policies:check", {"app": "chain/help", "target": "chain/help@latest"}, status=400)
    listed = operator.get("/policies")["items"]
    assert [(each["name"], each["enabled"], len(each["require"])) for each in listed] == [("production", True, 2)]


def test_weakening_is_an_operators_and_strengthening_anybodys(ready):
    dev, operator = ready.person("dev", "developer"), ready.person("olga", "operator")
    for weaker in (
        POLICY.replace('  - approvals.exists(a, a.role == "reviewer")\n', ""),
        POLICY.replace("endpoint/support, ", ""),
        POLICY + "enabled: false\n",
        POLICY + "doors: [alias]\n",
        POLICY.replace('"reviewer"', '"developer"'),
    ):
        told = dev.refused("POST", "/apply", {"files": {"tidemill/p.yaml": weaker}})
        assert (
            "policy/production would protect less, which is an operator's or admin's to do, not person/dev's" in told["detail"]
        )
    assert len(ready.audit("policy.change_denied")) == 5
    assert dev.get("/policies")["items"][0]["ref"] == "policy/production@v1"

    dev.apply(POLICY + "  - evaluation.samples >= 5\n")
    operator.apply(POLICY + "enabled: false\n")
    weakened = ready.audit("policy.weakened")[-1]
    assert (weakened["who"], "is turned off" in weakened["detail"]["losses"]) == ("person/olga", True)
    operator.post("/endpoints/support:deploy", {"app": "chain/help"})


def test_a_gate_is_not_weakened_behind_the_policys_back(ready):
    dev, operator, reviewer = (
        ready.person(*each) for each in (("dev", "developer"), ("olga", "operator"), ("rita", "reviewer"))
    )
    weak = APP.replace("min: 0.3", "min: 0.0")
    told = dev.refused("POST", "/apply", {"files": {"tidemill/a.yaml": weak, "tidemill/p.yaml": POLICY}})
    assert "holds to another version of gate/release" in told["detail"]
    dev.apply(weak)  # without the policy, which keeps to the gate it was applied with
    release = passing(ready, dev, reviewer)
    told = operator.refused("POST", "/endpoints/support:deploy", {"app": release})
    assert "gate/release@v2 decided passed, but the policy holds to gate/release@v1" in told["detail"]
    assert "tidemill gate gate/release@v1" in told["hint"]
    evaluation = dev.get("/evaluations")["items"][0]["id"]
    dev.post("/gates/release@v1:check", {"evaluation": evaluation})
    operator.post("/endpoints/support:deploy", {"app": release})


def test_what_cannot_be_decided_is_refused(project):
    operator = project.person("olga", "operator")
    rules = ["evaluation.metrics.exact_match.mean >= 0.5", "1 / evaluation.samples >= 0", "approvals[0].role == 'admin'"]
    project.person("dev", "developer").apply(APP)
    for number, rule in enumerate(rules):
        policy = f'{{kind: policy, name: p{number}, protects: [endpoint/e{number}], require: ["{rule}"]}}'
        project.admin.apply(policy)
        told = operator.refused("POST", f"/endpoints/e{number}:deploy", {"app": "chain/help"})
        assert told["problems"][0]["where"] == f"policy/p{number}"


def test_other_projects_are_not_governed_by_it(ready, house):
    other = house.project()
    other.admin.apply(APP)
    other.admin.post("/endpoints/support:deploy", {"app": "chain/help"})


PIPELINE = """
kind: pipeline
name: ship
steps:
  - {id: out, deploy: {app: chain/help, endpoint: endpoint/support}}
"""


def run_pipeline(project, who):
    began = who.post("/pipelines/ship:run", {})
    return project.finish(f"/pipeline-runs/{began['id']}")


def test_a_pipeline_is_held_to_it_in_the_name_of_who_started_it(project):
    dev, operator = project.person("dev", "developer"), project.person("olga", "operator")
    policy = "{kind: policy, name: p, protects: [endpoint/support], require: ['approvals.exists(a, a.role == \"reviewer\")']}"
    dev.apply(APP, policy, PIPELINE)
    for who, said in ((dev, "person/dev acts as developer"), (operator, "nobody approved")):
        run = run_pipeline(project, who)
        assert run["status"] == "failed"
        assert said in str(run), run
    assert [each["who"] for each in project.audit("policy.denied")] == ["person/dev", "person/olga"]
    release = dev.get("/artifacts/release/help")["digest"]
    project.person("rita", "reviewer").post("/approvals", {"release": release, "reason": "ok"})
    assert run_pipeline(project, operator)["status"] == "done"
    assert operator.get("/endpoints/support")["release"] == release


def test_what_starts_by_itself_acts_for_whoever_wrote_it(house):
    for role, allowed in (("developer", False), ("operator", True)):
        project = house.project()
        project.person("wim", role).apply(APP, PIPELINE, "{kind: policy, name: p, protects: [endpoint/support]}")
        for who, may in (("pipeline/ship", allowed), ("pipeline/other", False), ("", False)):
            decision = house.decide(project.name, "deploy", "endpoint/support", who=who, role="developer")
            assert decision.allowed == may, (role, who, decision.role)
