"""Every route of the API x everybody who may come x their own and another's project.

The routes are the application's, so that a new one is asked for as soon as it is there; one whose right is not stated fails.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator

import pytest

from access.house import House, Visitor, open_house
from tidemill.api.control import ROUTES as ROUTES_OF
from tidemill.api.rights import OUTSIDE, PREFIX, is_stated, right_of
from tidemill.store.grants import EVERY_RIGHT, RIGHTS, ROLES

OWN, OTHER, NONE = "own-project", "strange-one", "missing-one"

ROUTES = sorted((method, each.documented_path) for each in ROUTES_OF.known for method in each.methods - {"HEAD"})
BELOW = [each for each in ROUTES if each[1].startswith(PREFIX)]
BESIDE = [each for each in ROUTES if not each[1].startswith(PREFIX)]
_WORKERS = {"developer", "operator", "admin"}
_MAY = {
    "read": set(ROLES), "ingest": _WORKERS, "annotate": set(ROLES) - {"viewer"}, "attest": set(ROLES) - {"viewer", "annotator"},
    "develop": _WORKERS, "deploy": _WORKERS, "approve": {"reviewer", "admin"}, "administer": {"admin"},
}  # fmt: skip
"""Written again, apart from the code: what each right is worth."""
_PINNED = {
    "POST /apply": "develop",
    "POST /keys": "administer",
    "DELETE /keys/{key_id}": "administer",
    "POST /keys/{key_id}:rotate": "administer",
    "POST /access": "administer",
    "DELETE /access/{rule}": "administer",
    "PATCH ": "administer",
    "POST /approvals": "approve",
    "DELETE /approvals/{approval}": "approve",
    "POST /endpoints/{name}:deploy": "deploy",
    "POST /endpoints/{name}:rollback": "deploy",
    "POST /rollouts": "deploy",
    "PUT /artifacts/{kind}/{name}/aliases/{alias}": "deploy",
    "POST /feedback": "annotate",
    "POST /evidence": "attest",
    "GET /audit": "read",
}
_FOR_ENDPOINTS = {"POST /feedback", "POST /feedback:batch"}
"""What a key for endpoints may take: the applications that it is for say how an answer was."""
_REAL = {"kind": "prompt", "name": "ask", "alias": "latest", "version": "v1"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("matrix")) as house:
        house.fill(OWN)
        house.fill(OTHER)
        yield house


@pytest.fixture(scope="module")
def everybody(world: House) -> dict[str, Visitor]:
    """A key of each role, and a key of each role whose person has it by a grant."""
    found = {role: world.key(OWN, role=role) for role in ROLES}
    for role in ROLES:
        world.admin("POST", "/api/v1/people", {"name": f"m-{role}"})
        world.admin("POST", f"/api/v1/projects/{OWN}/access", {"person": f"m-{role}", "role": role})
        found[f"member {role}"] = world.key(OWN, role="admin", person=f"m-{role}")
    return found | {f"session {role}": world.browser(f"m-{role}") for role in ("viewer", "operator", "admin")}


@pytest.fixture(scope="module")
def narrow(world: House) -> dict[str, Visitor]:
    """Keys of the project that may little."""
    world.admin("POST", "/api/v1/people", {"name": "dora"})
    world.admin("POST", f"/api/v1/projects/{OWN}/access", {"person": "dora", "role": "admin"})
    rights = [each for each in EVERY_RIGHT if each != "read"]
    world.admin("POST", f"/api/v1/projects/{OWN}/access", {"person": "dora", "effect": "deny", "may": rights})
    return {
        "a key that may read": world.key(OWN, role="admin", may=["read"]),
        "somebody who is denied all but to read": world.key(OWN, role="admin", person="dora"),
        "a key for an endpoint": world.key(OWN, role="admin", endpoints=["support"]),
    }


@pytest.fixture(scope="module")
def shut_out(world: House) -> dict[str, Visitor]:
    """Whoever is not let in at all."""
    below = f"/api/v1/projects/{OWN}/keys"
    expired = world.key(OWN, role="admin", expires="100ms")
    revoked = world.admin("POST", below, {"role": "admin"})
    world.admin("DELETE", f"{below}/{revoked['id']}")
    gone = world.key(OWN, role="admin", person="gone")
    world.admin("POST", "/api/v1/people", {"name": "gone"})
    world.admin("PATCH", "/api/v1/people/gone", {"disabled": True})
    world.clock.offset += 1
    return {
        "nobody": Visitor(world),
        "an expired key": expired,
        "a revoked key": Visitor(world, revoked["key"]),
        "somebody disabled": gone,
        "an unknown key": Visitor(world, "tm_0123456789ab_" + "a" * 43),
        "an old cookie": Visitor(world, headers={"cookie": "tidemill_session=tms_" + "a" * 43}),
        "the admin token in a cookie": Visitor(world, headers={"cookie": f"tidemill_session={world.admin.token}"}),
        "a session's secret as a token": Visitor(world, "tms_" + "a" * 43),
    }


def filled(path: str, project: str, *, real: bool) -> str:
    """The address; with `real`, of what is there where that is known."""
    named = {**(_REAL if real else {}), "project": project}
    return re.sub(r"\{(\w+)\}", lambda match: named.get(match[1], "nothing"), path)


def waits(path: str) -> bool:
    """Whether the answer ends only when its caller leaves."""
    return path.endswith(("/events", ":tail"))


def state(house: House) -> dict[str, list[tuple[object, ...]]]:
    """All that is kept but the audit, and when keys and sessions were last used."""
    with sqlite3.connect(house.data / "meta.db", timeout=30) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        kept = {}
        for table in tables:
            columns = [
                f'"{row[1]}"' for row in db.execute(f"PRAGMA table_info({table})") if row[1] not in {"used_ns", "seen_ns"}
            ]
            if table.startswith("audit"):
                continue
            kept[table] = sorted(map(repr, db.execute(f"SELECT {', '.join(columns)} FROM {table}")))
    db.close()
    return kept


def test_every_route_states_its_right():
    assert [each for each in ROUTES if not is_stated(*each)] == []
    assert set(OUTSIDE) == {f"{method} {path}" for method, path in BESIDE}
    for named, right in _PINNED.items():
        method, _, path = named.partition(" ")
        assert (method, PREFIX + path) in ROUTES
        assert right_of(method, path) == right
    assert {role for role in ROLES for right in EVERY_RIGHT if (right in RIGHTS[role]) != (role in _MAY[right])} == set()


@pytest.mark.parametrize(("method", "path"), BELOW, ids=lambda each: each.removeprefix(PREFIX))
def test_each_role_may_what_it_should_and_nothing_more(world, everybody, method, path):
    right = right_of(method, path)
    for name, visitor in everybody.items():
        allowed = name.rpartition(" ")[2] in _MAY[right]
        if allowed and waits(path):
            continue
        answer = visitor.ask(method, filled(path, OWN, real=not allowed), None if method == "GET" else {})
        assert (answer.status_code == 403) == (not allowed), (name, answer.status_code, answer.text)
        assert answer.status_code not in {401, 500}, (name, answer.text)


@pytest.mark.parametrize(("method", "path"), BELOW, ids=lambda each: each.removeprefix(PREFIX))
def test_what_narrows_a_key_holds_at_every_route(narrow, method, path):
    right = right_of(method, path)
    for name, visitor in narrow.items():
        own = f"{method} {path.removeprefix(PREFIX)}" in _FOR_ENDPOINTS
        allowed = own if name == "a key for an endpoint" else right == "read"
        if allowed and waits(path):
            continue
        answer = visitor.ask(method, filled(path, OWN, real=not allowed), None if method == "GET" else {})
        assert (answer.status_code == 403) == (not allowed), (name, answer.status_code, answer.text)


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda each: each.removeprefix("/api/v1"))
def test_who_is_shut_out_gets_the_same_answer_everywhere(shut_out, method, path):
    answers = {}
    for name, visitor in shut_out.items():
        for project in (OWN, NONE) if name == "an expired key" else (OWN,):
            answer = visitor.ask(method, filled(path, project, real=True), None if method == "GET" else {}, x_request_id="r")
            assert answer.status_code == 401, (name, answer.text)
            answers.setdefault(name == "nobody", set()).add(answer.content)
    assert {len(each) for each in answers.values()} == {1}


@pytest.mark.parametrize(("method", "path"), BELOW, ids=lambda each: each.removeprefix(PREFIX))
def test_another_project_is_as_one_that_is_not_there(everybody, narrow, method, path):
    strangers = {name: everybody[name] for name in ("developer", "admin", "member admin", "session admin")}
    for name, visitor in {**strangers, **narrow}.items():
        there, nowhere = (
            visitor.ask(method, filled(path, project, real=True), None if method == "GET" else {}, x_request_id="r")
            for project in (OTHER, NONE)
        )
        assert there.status_code == nowhere.status_code == 404, (name, there.text)
        assert there.content.replace(OTHER.encode(), NONE.encode()) == nowhere.content, name
        assert list(there.headers.items()) == list(nowhere.headers.items()), name


def test_what_is_denied_changes_nothing(world, everybody, narrow, shut_out):
    """The same denied requests again, with bodies that would work, and all that is kept compared."""
    before = state(world)
    bodies = {
        "POST /apply": {"files": {"tidemill/app.yaml": "{kind: prompt, name: ask, text: other}"}},
        "POST /keys": {"role": "viewer"},
        "POST /access": {"person": "dora", "role": "viewer"},
        "PATCH ": {"archived": True, "description": "mine"},
        "POST /endpoints/{name}:deploy": {"app": "chain/help"},
        "PUT /artifacts/{kind}/{name}/aliases/{alias}": {"version": "v1"},
        "POST /rollouts": {"endpoint": "support", "app": "chain/help", "share": 10},
        "POST /releases": {"root": "chain/help"},
    }
    for method, path in ((method, path) for method, path in BELOW if method != "GET"):
        below = path.removeprefix(PREFIX)
        body, right = bodies.get(f"{method} {below}", {}), right_of(method, path)
        denied = [each for name, each in everybody.items() if name.rpartition(" ")[2] not in _MAY[right]]
        denied += [each for name, each in narrow.items() if right != "read" and f"{method} {below}" not in _FOR_ENDPOINTS]
        asked = [(each, OWN) for each in [*denied, *shut_out.values()]] + [(everybody["admin"], OTHER)]
        for visitor, project in asked:
            answer = visitor.ask(method, filled(path, project, real=True), body)
            assert answer.status_code in {401, 403, 404}, (method, path, answer.text)
    assert state(world) == before


@pytest.mark.parametrize(("method", "path"), BESIDE, ids=lambda each: each.removeprefix("/api/v1"))
def test_routes_of_no_project_are_for_whom_they_say(world, everybody, narrow, method, path):
    of_admin = OUTSIDE[f"{method} {path}"] == "administrator"
    for name, visitor in {**everybody, **narrow}.items():
        if (method, path.rpartition("/")[2]) == ("DELETE", "session") or "login-links" in path:
            continue  # they end and begin what the other tests use; see test_sessions
        answer = visitor.ask(method, filled(path, OWN, real=False), None if method == "GET" else {})
        assert answer.status_code not in {401, 500}, (name, answer.text)
        shut = of_admin or (name == "a key for an endpoint" and path != "/api/v1/session")
        assert (answer.status_code == 403) == shut, (name, answer.status_code, answer.text)


def test_every_denied_attempt_is_in_the_audit_and_the_chains_hold(world, everybody):
    everybody["viewer"]("POST", f"/api/v1/projects/{OWN}/endpoints/denied:deploy", {"app": "chain/help"}, status=403)
    world.flush()
    lines = world.audit(OWN, "access.denied")
    assert lines
    assert all(each["detail"]["count"] >= 1 and each["detail"]["why"] for each in lines)
    nobody = [each for each in world.audit(None, "access.denied") if each["who"] == "nobody"]
    assert sum(each["detail"]["count"] for each in nobody) > 0
    assert world.admin("GET", "/api/v1/audit/verify")["ok"]
    assert world.admin("GET", f"/api/v1/projects/{OWN}/audit/verify")["ok"]
    assert world.audit(NONE, "access") == []
    assert json.dumps(lines).count("tm_") == 0
