"""Connections, endpoints, environments and monitors can be deleted, by whoever may, and while nothing uses them."""

from __future__ import annotations

import pytest

from govern.conftest import APP, POLICY

CONNECTIONS = """
{kind: connection, name: own, provider: openai, base_url: "https://own.example/v1"}
---
{kind: connection, name: own, environment: production, provider: openai, base_url: "https://prod.example/v1"}
---
{kind: connection, name: spare, provider: openai, base_url: "https://spare.example/v1"}
"""
MODEL = "{kind: model, name: far, provider: openai, model: m, connection: own}"


@pytest.fixture
def dev(project):
    return project.person("dev", "developer")


def names(who, kind):
    return [(each["name"], each.get("environment")) for each in who.get("/artifacts", kind=kind)["items"]]


def test_a_connection_is_deleted_once_nothing_names_it(project, dev):
    dev.apply(CONNECTIONS, MODEL)
    said = dev.refused("DELETE", "/artifacts/connection/own", status=409)
    assert "model/far names it" in said["detail"]
    assert len(names(dev, "connection")) == 3
    assert dev.delete("/artifacts/connection/own?environment=production")["deleted"] == ["connection/own"]
    assert names(dev, "connection") == [("own", None), ("spare", None)]
    dev.delete("/artifacts/model/far")
    dev.delete("/artifacts/connection/own?why=moved")
    assert names(dev, "connection") == [("spare", None)]
    dev.refused("DELETE", "/artifacts/connection/own", status=404)
    dev.refused("DELETE", "/artifacts/connection/spare?environment=staging", status=404)
    lines = [each for each in project.audit("delete") if each["target"] == "connection/own"]
    assert [(each["who"], each["detail"]["environments"], each["detail"]["why"]) for each in lines] == [
        ("person/dev", ["production"], ""),
        ("person/dev", [""], "moved"),
    ]


def test_the_only_connection_to_a_provider_stays_while_models_reach_it_so(dev):
    only = "{kind: connection, name: only, provider: openai, base_url: 'https://own.example/v1'}"
    dev.apply(only, "{kind: model, name: far, provider: openai, model: m}")
    assert "reaches openai by it" in dev.refused("DELETE", "/artifacts/connection/only", status=409)["detail"]


def test_a_deleted_endpoint_answers_no_more_and_its_past_is_in_the_audit(project, dev):
    dev.apply(APP)
    dev.post("/endpoints/help:deploy", {"app": "chain/help"})
    call = {"model": "endpoint/help", "messages": [{"role": "user", "content": "?"}]}
    assert project.chat(dev, call).status_code == 200
    key = project.admin.post("/keys", {"role": "viewer", "endpoints": ["help"]})
    assert key["id"] in dev.refused("DELETE", "/artifacts/endpoint/help", status=409)["detail"]
    project.admin.delete(f"/keys/{key['id']}")
    project.person("wes", "viewer").refused("DELETE", "/artifacts/endpoint/help")
    release = dev.get("/endpoints/help")["release"]
    dev.delete("/artifacts/endpoint/help")
    assert project.chat(dev, call).status_code == 404
    dev.refused("GET", "/endpoints/help", status=404)
    (line,) = project.audit("delete")
    assert (line["target"], line["detail"]["release"]) == ("endpoint/help", release)
    assert dev.post("/endpoints/help:deploy", {"app": "chain/help"})["previous"] is None


def test_what_is_protected_is_an_operators_to_delete(project, dev):
    ole = project.person("ole", "operator")
    policy = POLICY[: POLICY.index("require:")] + 'require: ["true"]\n'
    dev.apply(APP, policy, "{kind: environment, name: production, protected: true}")
    ole.apply(APP, policy, CONNECTIONS)
    ole.post("/endpoints/support:deploy", {"app": "chain/help"})
    for path in ("endpoint/support", "connection/own?environment=production", "connection/own"):
        assert "protected" in dev.refused("DELETE", f"/artifacts/{path}")["detail"]
    for path in ("endpoint/support", "connection/own"):
        ole.delete(f"/artifacts/{path}")
    ole.delete("/artifacts/connection/spare")
    dev.refused("DELETE", "/artifacts/environment/production")
    ole.delete("/artifacts/environment/production")


def test_an_environment_goes_when_nothing_is_in_it(project, dev):
    dev.apply("{kind: environment, name: lab}", CONNECTIONS.replace("production", "lab"))
    assert "connection/own is written for it" in dev.refused("DELETE", "/artifacts/environment/lab", status=409)["detail"]
    dev.delete("/artifacts/connection/own?environment=lab")
    dev.delete("/artifacts/environment/lab")


def test_what_has_versions_is_not_deleted_by_environment(dev):
    dev.apply(APP)
    dev.refused("DELETE", "/artifacts/prompt/ask?environment=production", status=400)


def test_nobody_deletes_an_endpoint_without_the_right_to_deploy(project, dev):
    dev.apply(APP)
    dev.post("/endpoints/help:deploy", {"app": "chain/help"})
    made = project.admin.post("/keys", {"role": "developer", "may": ["read", "develop"]})
    project.with_key(made["key"]).refused("DELETE", "/artifacts/endpoint/help")
