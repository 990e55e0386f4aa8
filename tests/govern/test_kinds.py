"""A policy that could not be held to is refused when it is applied, with its file and line."""

from __future__ import annotations

import pytest

from govern.conftest import APP
from tidemill.core.errors import Invalid
from tidemill.govern.kinds import PolicyKind
from tidemill.govern.rules import Rule
from tidemill.testing import check_artifact_kind


def applied(project, require, *, protects="endpoint/support"):
    text = f"kind: policy\nname: p\nprotects: ['{protects}']\nrequire:\n  - 'true'\n  - >-\n    {require}\n"
    return project.admin.ask("POST", "/apply", {"files": {"tidemill/app.yaml": APP, "tidemill/policy.yaml": text}})


@pytest.mark.parametrize(
    ("require", "said"),
    [
        ("approvals.exists(a, a.role ==", "is not CEL"),
        ("evaluation.metrics.exact_mach.mean > 0.5", "nobody measures 'exact_mach'"),
        ('evaluation.metrics["nope"].mean > 0.5', "nobody measures 'nope'"),
        ('gate("gate/release").evaluation.metrics.nope.mean > 0.5', "nobody measures 'nope'"),
        ("evaluation.metrics[who].mean > 0.5", "a metric is named by a text"),
        ("evaluation.metrics.exact_match.man > 0.5", "a metric has no 'man'"),
        ("evaluation.metrics.exact_match > 0.5", "No such overload"),
        ("evaluation.sample > 5", "evaluation has no 'sample'"),
        ('gate("gate/relese").result == "passed"', "refers to gate/relese, which does not exist"),
        ('gate("gate/release@v7").result == "passed"', "has no version yet"),
        ('gate("chain/help").result == "passed"', "a gate is needed here"),
        ('gate(who).result == "passed"', "a gate is named by a text"),
        ('gate("gate/release").resul == "passed"', "a gate has no 'resul'"),
        ('gat("gate/release").result == "passed"', "'gat' is not a function"),
        ("aprovals.size() > 0", "nothing is called 'aprovals'"),
        ('approvals.exists(a, a.rol == "reviewer")', "there is no 'rol'"),
        ('approvals.exists(a, a.role == "reviwer")', "'reviwer' is not a role"),
        ("size(approvals)", "neither true nor false"),
        ("who > 3", "No such overload"),
        ("approvals.all(a, approvals.all(b, approvals.all(c, true)))", "at most 2 times"),
        ("true || " * 200 + "true", "at most 1000 characters"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused_with_its_place(project, require, said):
    answer = applied(project, require)
    told = answer.json()
    assert answer.status_code == 400, told
    assert said in told["detail"]
    assert told["where"] == "tidemill/policy.yaml:6"
    assert project.admin.get("/artifacts")["items"] == [], "nothing was applied"
    assert project.audit("apply") == []


@pytest.mark.parametrize(
    ("protects", "said"),
    [
        ("endpoint/x@production", "endpoints have none"),
        ("chain/help", "names no alias"),
        ("chian/help@production", "Did you mean chain?"),
        ("chain/*@latest", "moves with every apply"),
        ("everything", "nothing that can be protected"),
        ("[a-z]/x", "nothing that can be protected"),
    ],
)
def test_what_cannot_be_protected_is_refused(project, protects, said):
    answer = applied(project, "true", protects=protects)
    assert answer.status_code == 400
    assert said in answer.json()["detail"] + answer.json()["hint"]
    assert answer.json()["where"] == "tidemill/policy.yaml:3"


def test_a_plan_says_so_too(project):
    text = "{kind: policy, name: p, protects: [endpoint/x], require: ['evaluation.metrics.nope.mean > 0.5']}"
    told = project.admin.refused("POST", "/plan", {"files": {"tidemill/p.yaml": text}}, status=400)
    assert "nobody measures 'nope'" in told["detail"]


def test_metrics_of_ones_own_scorers_and_of_evaluations_are_known(project):
    scorer = "{kind: scorer, name: polite, scorer: exact_match}"
    rule = "{kind: policy, name: p, protects: [endpoint/x], require: ['evaluation.metrics.polite.mean > 0.5']}"
    assert project.admin.ask("POST", "/apply", {"files": {"tidemill/p.yaml": rule}}).status_code == 400
    answer = project.admin.ask("POST", "/apply", {"files": {"tidemill/p.yaml": rule, "tidemill/s.yaml": scorer}})
    assert answer.is_success, answer.text


def test_the_kind_keeps_its_promises():
    check_artifact_kind(
        PolicyKind(),
        body={"protects": ["endpoint/x", "chain/*@live"], "require": ['gate("release").result == "passed"']},
        files=None,  # pyright: ignore[reportArgumentType]  (a policy reads none)
    )


def test_what_changed_is_told_in_words():
    kind = PolicyKind()
    old = kind.parse({"protects": ["endpoint/x"], "require": ["true"]}, files=None).spec  # pyright: ignore[reportArgumentType]
    new = kind.parse({"protects": ["endpoint/y"], "enabled": False}, files=None).spec  # pyright: ignore[reportArgumentType]
    assert kind.diff(old, new) == [
        "protects: no longer endpoint/x",
        "protects: now also endpoint/y",
        "require: no longer true",
        "turned off",
    ]


def test_a_rule_knows_what_it_names():
    text = """gate('gate/a').result == "passed" && gate("b").evaluation.metrics["x-y"].mean > 0.5  // gate("gate/c")
        || evaluation.metrics.f1.interval[0] > 0.1 && approvals.exists(a, a.role == "admin") && "gate('gate/d')" != who"""
    rule = Rule(text)
    assert rule.gates == {"gate/a", "gate/b"}
    assert rule.metrics == {"x-y", "f1"}
    assert rule.roles == ("admin",)


def test_a_rule_without_what_it_reads_cannot_be_decided():
    with pytest.raises(Invalid, match="there is no 'result'"):
        Rule('gate("gate/x").result == "passed"').holds({}, gate=lambda _: {})
