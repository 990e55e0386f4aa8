"""No door goes around a policy: not applying, tagging, deleting, restoring or taking an alias away."""

from __future__ import annotations

import pytest

from govern.conftest import APP, POLICY

ALIAS = "/artifacts/chain/help/aliases/production"


@pytest.fixture
def live(ready):
    """`chain/help@production` was put there by an operator, with a passed gate and an approval."""
    dev, olga, rita = (
        ready.person(name, role) for name, role in (("eve", "developer"), ("olga", "operator"), ("rita", "reviewer"))
    )
    evaluation = ready.evaluate(dev)
    ready.gate(dev, evaluation["id"])
    rita.post("/approvals", {"release": evaluation["release"], "reason": "read all"})
    olga.put(ALIAS, {"version": "v1", "why": "first"})
    ready.dev, ready.olga, ready.release = dev, olga, evaluation["release"]
    return ready


def pointed(project):
    found = project.admin.get("/artifacts/chain/help/aliases")["items"]
    return {each["alias"]: (each["version"], each["why"]) for each in found}


def test_nobody_but_an_operator_moves_or_removes_a_protected_alias(live):
    live.dev.apply(APP.replace('text: "{{question}}"', 'text: "Please {{question}}"'))
    assert pointed(live) == {"latest": ("v2", "apply"), "production": ("v1", "first")}
    for method, body in (("PUT", {"version": "v2"}), ("DELETE", None)):
        told = live.dev.refused(method, ALIAS, body)
        assert told["code"] == "denied"
    told = live.olga.refused("PUT", ALIAS, {"version": "v2"})  # an operator too needs the gate and the approval
    assert "release" in told["detail"]
    assert pointed(live)["production"] == ("v1", "first")
    assert [each["detail"]["door"] for each in live.audit("policy.denied")] == ["alias"] * 3
    live.olga.delete(ALIAS + "?why=over")
    assert "production" not in pointed(live)
    moves = live.admin.get("/artifacts/chain/help/moves", alias="production")["items"]
    assert [(each["before"], each["after"], each["by"], each["why"]) for each in moves] == [
        ("v1", None, "person/olga", "over"),
        (None, "v1", "person/olga", "first"),
    ]


def test_deleting_tagging_and_restoring_move_no_alias(live):
    for path in ("/artifacts/chain/help", "/artifacts/chain/help/versions/v1", "/artifacts/prompt/ask"):
        told = live.dev.refused("DELETE", path, status=409)
        assert told["code"] == "conflict"
    live.dev.ask("PATCH", "/artifacts/chain/help", {"tags": {"a": "b"}})
    live.dev.ask("PATCH", "/artifacts/chain/help", {"version": "production", "description": "x"})
    live.dev.refused("POST", "/artifacts/chain/help:restore", {}, status=404)
    assert pointed(live)["production"] == ("v1", "first")


def test_what_an_endpoint_serves_is_not_deleted_and_an_evaluated_release_only_knowingly(live):
    live.olga.post("/endpoints/support:deploy", {"app": "chain/help"})
    told = live.dev.refused("DELETE", "/artifacts/release/help", status=409)
    assert [each["message"].partition(" ")[0] for each in told["problems"]][:1] == ["endpoint/support"]
    live.dev.apply(APP.replace("name: help", "name: other"))
    free = live.dev.post("/releases", {"root": "chain/other"})
    live.evaluate(live.dev, "chain/other")
    told = live.dev.refused("DELETE", "/artifacts/release/other", status=409)
    assert "--although-evaluated" in told["problems"][0]["hint"]
    live.dev.delete("/artifacts/release/other?although_evaluated=true&why=tidy")
    told = live.dev.refused("GET", f"/releases/{free['digest']}", status=404)
    assert "was deleted at" in told["detail"]
    assert told["hint"] == "Restore it: tidemill restore release/other@v1"
    assert live.dev.post("/artifacts/release/other:restore", {})["restored"] == ["release/other@v1"]
    assert live.dev.get(f"/releases/{free['digest']}")["signature"] == free["signature"]


def test_a_policy_is_not_deleted_by_whom_it_protects_from(live):
    told = live.dev.refused("DELETE", "/artifacts/policy/production")
    assert "would protect less" in told["detail"]
    assert live.audit("policy.change_denied")[-1]["detail"]["losses"] == ["is deleted"]
    live.olga.apply(POLICY.replace('"chain/*@production"', '"chain/*@production", "chain/*@live"'))
    live.dev.refused("DELETE", "/artifacts/policy/production/versions/v2")  # the older one would protect less
    live.dev.delete("/artifacts/policy/production/versions/v1")
    live.olga.delete("/artifacts/policy/production")
    assert [each["action"] for each in live.audit("policy.weakened")] == ["policy.weakened"]
    live.dev.post("/artifacts/policy/production:restore", {"version": "v2"})  # protecting more is anybody's to do
    live.dev.refused("DELETE", "/artifacts/policy/production")


def test_what_is_deleted_is_listed_restored_and_purged(live):
    live.dev.apply("kind: prompt\nname: loose\ntext: a\ntags: {team: search}\nowner: ana\n")
    found = live.dev.get("/artifacts", kind="prompt", tag="team=search", owner="ana")["items"]
    assert [each["ref"] for each in found] == ["prompt/loose@v1"]
    live.dev.refused("GET", "/artifacts?tag=team", status=400)
    live.dev.delete("/artifacts/prompt/loose?why=tidy")
    (gone,) = live.dev.get("/artifacts", deleted=True)["items"]
    assert (gone["ref"], gone["deleted_by"], gone["why"], gone["until"] > gone["deleted"]) == (
        "prompt/loose@v1", "person/eve", "tidy", True,
    )  # fmt: skip
    told = live.dev.refused("GET", "/artifacts/prompt/loose", status=404)
    assert "was deleted at" in told["detail"]
    assert told["hint"] == "Restore it: tidemill restore prompt/loose"
    live.dev.refused("POST", "/artifacts:purge")  # an admin's
    assert live.admin.post("/artifacts:purge")["purged"] == []  # its time is not over
    assert live.dev.post("/artifacts/prompt/loose:restore", {})["latest"] == "prompt/loose@v1"
    live.dev.refused("DELETE", "/artifacts/connection/x", status=404)


def test_a_release_is_verified_by_whoever_may_read_and_rows_are_an_admins_to_erase(live):
    viewer = live.person("vic", "viewer")
    found = viewer.post("/releases:verify", {"release": "chain/help"})
    assert (found["holds"], found["own_key"], found["digest"]) == (True, True, live.release)
    listed = viewer.get("/releases", root="chain/help")["items"]
    assert [(each["digest"], each["fingerprint"]) for each in listed] == [(live.release, found["fingerprint"])]
    viewer.refused("POST", "/releases:verify", {}, status=400)
    viewer.refused("POST", "/releases:verify", {"release": "sha256:" + "0" * 64}, status=404)
    body = {"samples": ["2"], "why": "asked"}
    live.dev.refused("POST", "/datasets/questions/samples:erase", body)
    done = live.admin.post("/datasets/questions/samples:erase", body)
    assert (done["rows"], done["versions"], done["evaluation_samples"]) == (1, ["dataset/questions@v1"], 1)
    assert [each["id"] for each in viewer.get("/datasets/questions/samples")["items"]] == ["1", "3", "4", "5"]
    again = live.evaluate(live.dev)
    assert again["samples"] == 4
    assert live.dev.post("/releases:verify", {"release": again["release"]})["holds"]
