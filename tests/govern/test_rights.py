"""Every route of the API x every role: what may be asked, and what is denied before anything is looked at."""

from __future__ import annotations

import re

import pytest

from tidemill.api.control import control_plane
from tidemill.api.rights import PREFIX, RIGHTS, right_of
from tidemill.store.access import ROLES

_EVERYBODY = set(ROLES)
_WORKERS = {"developer", "operator", "admin"}
_EXCEPTIONS = {
    "POST /comparisons": _EVERYBODY,
    "POST /indexes/{name}:search": _EVERYBODY,
    "POST /spans:search": _EVERYBODY,
    "POST /policies:check": _EVERYBODY,
    "POST /evidence/watermark": _EVERYBODY,
    "POST /evidence": _WORKERS | {"reviewer"},
    "POST /feedback": _EVERYBODY - {"viewer"},
    "POST /feedback:batch": _EVERYBODY - {"viewer"},
    "POST /approvals": {"reviewer", "admin"},
    "DELETE /approvals/{approval}": {"reviewer", "admin"},
    "POST /keys": {"admin"},
    "DELETE /keys/{key_id}": {"admin"},
}
"""Who may, where it is not: everybody reads, and developers, operators and admins do the rest."""


def routes():
    document = control_plane(None).openapi()  # pyright: ignore[reportArgumentType]  (no route is called)
    return [(method.upper(), path.removeprefix(PREFIX)) for path, methods in document["paths"].items() for method in methods]


def may(method, path):
    return _EXCEPTIONS.get(f"{method} {path}", _EVERYBODY if method == "GET" else _WORKERS)


@pytest.fixture(scope="module")
def everybody(house):
    project = house.project()
    return {role: project.person(f"a-{role}", role) for role in ROLES}


@pytest.mark.parametrize(("method", "path"), routes(), ids=lambda each: each)
def test_each_role_may_what_it_should(everybody, method, path):
    filled = re.sub(r"\{\w+\}", "nothing", path)
    for role, who in everybody.items():
        if path.endswith("/events"):  # a stream that waits
            assert (right_of(method, path) in RIGHTS[role]) == (role in may(method, path))
            continue
        answer = who.ask(method, filled, {} if method != "GET" else None)
        denied = answer.status_code == 403 and f"{role} may not" in answer.json()["detail"]
        assert denied == (role not in may(method, path)), (role, answer.status_code, answer.text)
        assert answer.status_code not in {401, 500}, answer.text
        if denied:
            assert answer.json()["hint"].startswith("Use a key with the role ")


def test_every_right_that_a_route_is_named_for_is_a_route():
    named = {f"{method} {path}" for method, path in routes()}
    assert set(_EXCEPTIONS) <= named
    assert {"POST /endpoints/{name}:deploy", "PUT /artifacts/{kind}/{name}/aliases/{alias}"} <= named


def test_a_key_for_endpoints_takes_no_route(house):
    project = house.project()
    made = project.admin.post("/keys", {"role": "admin", "endpoints": ["support"]})
    caller = type(project.admin)(house.portal, house.app, project.name, made["key"])
    assert "may call endpoints only" in caller.refused("GET", "/artifacts")["detail"]


def test_a_key_of_one_project_takes_no_route_of_another(house):
    one, other = house.project(), house.project()
    made = one.admin.post("/keys", {"role": "admin"})
    stranger = type(one.admin)(house.portal, house.app, other.name, made["key"])
    assert "belongs to project" in stranger.refused("GET", "/artifacts")["detail"]


def test_keys_name_a_person_and_are_audited(project):
    made = project.admin.post("/keys", {"role": "reviewer", "person": "ana"})
    assert made["person"] == "ana"
    listed = project.admin.get("/keys")["items"]
    assert [(each["person"], each["role"]) for each in listed] == [("ana", "reviewer")]
    project.admin.delete(f"/keys/{made['id']}")
    project.admin.delete(f"/keys/{made['id']}")
    lines = project.audit("key")
    assert [(each["action"], each["target"]) for each in lines] == [
        ("key.created", f"key/{made['id']}"),
        ("key.revoked", f"key/{made['id']}"),
    ]
    assert lines[0]["detail"] == {"endpoints": None, "person": "ana", "role": "reviewer"}
    assert made["key"] not in str(lines)
    project.admin.refused("POST", "/keys", {"role": "reviewer", "person": "Ana Smith"}, status=400)
