"""The audit by the API: what is in it, and a chain that somebody changed behind the application's back."""

from __future__ import annotations

import pytest

from govern.conftest import APP
from places import execute, on_sqlite


@pytest.fixture
def used(project):
    """A project with eight lines."""
    dev = project.person("dev", "developer")
    dev.apply(APP)
    dev.apply(APP)  # changes nothing, and adds no line
    dev.post("/endpoints/a:deploy", {"app": "chain/help"})
    dev.put("/artifacts/chain/help/aliases/live", {"version": "v1", "why": "first"})
    dev.put("/artifacts/chain/help/aliases/live", {"version": "v1"})  # the same
    dev.apply(APP.replace("0.3", "0.4"))
    dev.apply(APP.replace('name: ask\ntext: "{{question}}"', 'name: ask\ntext: "Please: {{question}}"'))
    dev.post("/endpoints/a:deploy", {"app": "chain/help"})
    dev.post("/endpoints/a:rollback")
    return project


def tamper(project, statement):
    execute(project.house.data, statement, project=project.name)


def test_every_change_has_its_line(used):
    lines = list(reversed(used.admin.get("/audit")["items"]))
    assert [(each["action"], each["target"]) for each in lines] == [
        ("key.created", lines[0]["target"]),
        ("apply", f"project/{used.name}"),
        ("deploy", "endpoint/a"),
        ("alias", "chain/help@live"),
        ("apply", f"project/{used.name}"),
        ("apply", f"project/{used.name}"),
        ("deploy", "endpoint/a"),
        ("rollback", "endpoint/a"),
    ]
    assert {each["who"] for each in lines} == {"admin", "person/dev"}
    changed = lines[4]["detail"]["changes"]
    assert [(each["ref"], each["before"], each["after"]) for each in changed] == [("gate/release", "v1", "v2")]
    assert lines[3]["detail"]["why"] == "first"
    assert used.admin.get("/audit/verify") == {
        "ok": True, "lines": 8, "head": f"8:{lines[-1]['digest']}", "broken": None, "fault": None, "message": "",
    }  # fmt: skip


def test_lists_page_and_filter(used):
    first = used.admin.get("/audit", limit=3)
    assert [each["number"] for each in first["items"]] == [8, 7, 6]
    assert [each["number"] for each in used.admin.get("/audit", limit=3, cursor=first["next"])["items"]] == [5, 4, 3]
    assert [each["number"] for each in used.admin.get("/audit", target="chain/help@live")["items"]] == [4]
    assert used.admin.get("/audit", since=first["items"][0]["at"])["items"][0]["number"] == 8
    assert used.admin.get("/audit", since="2099-01-01")["items"] == []
    for bad in ({"since": "noon"}, {"cursor": "x"}):
        assert used.admin.ask("GET", "/audit", **bad).status_code == 400
    assert used.admin.ask("GET", "/audit/verify", anchor="x").status_code == 400


def test_the_export_pages(used):
    whole = used.admin.ask("GET", "/audit/export").content
    pieces = [used.admin.ask("GET", "/audit/export", after=after, limit=3).content for after in (0, 3, 6, 9)]
    assert b"".join(pieces) == whole
    assert pieces[-1] == b""


@pytest.mark.parametrize(
    ("statement", "fault", "line"),
    [
        ("UPDATE audit SET detail = '{}' WHERE project = :project AND number = 4", "altered", 4),
        pytest.param(
            "UPDATE audit SET detail = x'ff00' WHERE project = :project AND number = 4", "altered", 4, marks=on_sqlite
        ),
        pytest.param(
            "UPDATE audit SET at_ns = 'noon', who = x'ff', digest = x'00' WHERE project = :project AND number = 4",
            "altered",
            4,
            marks=on_sqlite,
        ),
        ("DELETE FROM audit WHERE project = :project AND number = 4", "removed", 4),
        ("DELETE FROM audit WHERE project = :project AND number = 8", "truncated", 8),
        ("UPDATE audit SET number = -number WHERE project = :project AND number = 1", "removed", 1),
    ],
)
def test_a_change_behind_its_back_is_found_and_shown(used, statement, fault, line):
    tamper(used, statement)
    told = used.admin.get("/audit/verify")
    assert (told["ok"], told["fault"], told["broken"]) == (False, fault, line)
    assert used.admin.ask("GET", "/audit").status_code == 200
    assert used.admin.ask("GET", "/audit/export").status_code == 200


def test_a_tail_cut_off_with_its_head_is_found_by_an_anchor(used):
    anchor = used.admin.get("/audit/verify")["head"]
    tamper(used, "DELETE FROM audit WHERE project = :project AND number > 6")
    tamper(
        used,
        "UPDATE audit_heads SET number = 6, digest = (SELECT digest FROM audit WHERE project = :project AND number = 6)"
        " WHERE project = :project",
    )
    assert used.admin.get("/audit/verify")["ok"]
    told = used.admin.get("/audit/verify", anchor=anchor)
    assert (told["ok"], told["fault"], told["broken"]) == (False, "truncated", 7)


def test_projects_do_not_read_each_others(used, house):
    assert house.project().admin.get("/audit")["items"] == []


def test_rows_that_are_appended_have_their_line(project):
    dev = project.person("dev", "developer")
    rows = {"rows": [{"q": "a", "a": "b"}], "roles": {"input": "q", "reference": "a"}}
    made = dev.post("/datasets/lessons/samples", rows)
    dev.post("/datasets/lessons/samples", rows)  # nothing new
    assert [(each["target"], each["detail"]["added"]) for each in project.audit("samples.append")] == [(made["dataset"], 1)]
