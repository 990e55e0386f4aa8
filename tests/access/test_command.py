"""The commands, against a server in this process: what they print, and how they end."""

from __future__ import annotations

import json

import pytest

from tidemill.cli.main import run


@pytest.fixture
def tidemill(tmp_path, monkeypatch, capsys):
    (tmp_path / "tidemill.toml").touch()
    monkeypatch.chdir(tmp_path)
    for name in ("TIDEMILL_URL", "TIDEMILL_TOKEN", "TIDEMILL_PROJECT", "TIDEMILL_DATA"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments):
        code = run([*arguments, "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out.strip() else said.err

    return call


def test_from_a_project_to_a_denial_that_is_explained(tidemill):
    assert tidemill("projects", "create", "shop")[1]["name"] == "shop"
    tidemill("people", "add", "ana", "--email", "ana@example.org")
    tidemill("access", "grant", "ana", "developer", "--project", "shop")
    _, denial = tidemill("access", "deny", "ana", "deploy", "--on", "endpoint/prod-*", "--project", "shop")
    code, found = tidemill("access", "check", "ana", "deploy", "endpoint/prod-1", "--project", "shop")
    assert (code, found["allowed"]) == (1, False)
    assert denial["id"] in found["why"]
    assert tidemill("access", "revoke", denial["id"], "--project", "shop")[0] == 0
    assert tidemill("access", "check", "ana", "deploy", "endpoint/prod-1", "--project", "shop")[0] == 0
    assert len(tidemill("access", "list", "--project", "shop")[1]["items"]) == 1


def test_keys_that_end_are_rotated_and_used_for_no_more_than_they_say(tidemill, monkeypatch):
    made = tidemill("keys", "create", "--role", "developer", "--may", "read", "--expires", "30d")[1]
    assert made["may"] == ["read"]
    new = tidemill("keys", "rotate", made["id"], "--overlap", "1h")[1]
    assert new["replaces"] == made["id"]
    monkeypatch.setenv("TIDEMILL_TOKEN", new["key"])
    assert tidemill("get")[0] == 0
    assert tidemill("access", "me")[1]["projects"][0]["rights"] == ["read"]
    code, said = tidemill("keys", "create")
    assert code == 4
    assert "is for read only" in str(said)
    code, said = tidemill("get", "--project", "other")
    assert code == 3
    assert "there is no project 'other'" in str(said)
    monkeypatch.delenv("TIDEMILL_TOKEN")
    assert {each["action"] for each in tidemill("audit", "list", "--action", "access")[1]["items"]} == {"access.denied"}
    assert tidemill("audit", "verify", "--server")[1]["ok"]
    assert next(each for each in tidemill("keys", "list")[1]["items"] if each["id"] == new["id"])["used"]


def test_archiving_and_disabling(tidemill):
    tidemill("projects", "create", "old")
    assert tidemill("projects", "archive", "old")[1]["archived"]
    assert tidemill("projects", "restore", "old")[1]["archived"] is False
    tidemill("people", "add", "bob")
    assert tidemill("people", "disable", "bob")[1]["disabled"]
    assert tidemill("people", "enable", "bob")[1]["disabled"] is False
    assert tidemill("people", "show", "nobody")[0] == 3
    assert tidemill("access", "grant", "bob", "king")[0] == 2
    assert tidemill("login")[0] == 5


def test_keys_with_limits_are_made_changed_and_looked_at(tidemill, capsys):
    given = ("--models", "gpt,route/fast", "--team", "search", "--rpm", "60", "--tpd", "9", "--concurrency", "2")
    made = tidemill("keys", "create", *given, "--budget", "10/month", "--warn", "80%")[1]
    assert (made["models"], made["team"]) == (["gpt", "route/fast"], "search")
    budget = [{"hard": 10.0, "soft": 8.0, "per": "month"}]
    assert made["limits"] == {"budget": budget, "concurrency": 2, "requests": {"minute": 60}, "tokens": {"day": 9}}
    assert tidemill("keys", "limit", made["id"], "--budget", "20/total")[1]["limits"] == {
        "budget": [{"hard": 20.0, "per": "total"}]
    }
    shown = tidemill("keys", "usage", made["id"])[1]
    assert (shown["total"]["requests"], shown["limits"][0]["used"]) == (0, 0.0)
    assert tidemill("keys", "usage", "--by", "team", "--days", "7")[1] == {"items": []}
    assert run(["keys", "list"]) == 0
    assert "$20.00/total" in capsys.readouterr().out
    assert run(["keys", "usage", made["id"]]) == 0
    assert "$20.00 in all: $0 used (0%)" in capsys.readouterr().out
    assert tidemill("keys", "limit", made["id"], "--none")[1]["limits"] == {}
    for wrong in (("limit", made["id"]), ("limit", made["id"], "--none", "--rpm", "1"), ("create", "--budget", "lots")):
        assert tidemill("keys", *wrong)[0] == 2
    assert tidemill("keys", "usage", "ffffffffffff")[0] == 3
