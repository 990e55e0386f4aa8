"""Keys: narrowed, ended, rotated, last used; and what archiving a project, grants and denials change at once."""

from __future__ import annotations

import pytest

from access.house import House, Visitor

BELOW = "/api/v1/projects/shop"


@pytest.fixture(scope="module", autouse=True)
def shop(running: House) -> None:
    running.fill("shop")


def made(house, **body):
    return house.admin("POST", f"{BELOW}/keys", body)


def listed(house, key_id):
    return next(each for each in house.admin("GET", f"{BELOW}/keys?limit=1000")["items"] if each["id"] == key_id)


def chat(visitor, **headers):
    body = {"model": "endpoint/support", "messages": [{"role": "user", "content": "hello"}]}
    return visitor.ask("POST", "/v1/chat/completions", body, **headers)


def test_a_key_ends_when_it_says_and_not_later_when_the_clock_is_set_back(house):
    key = made(house, role="viewer", expires="1h")
    visitor = Visitor(house, key["key"])
    visitor("GET", f"{BELOW}/artifacts")
    assert listed(house, key["id"])["state"] == "valid"
    house.clock.offset = 3700
    gone = visitor.ask("GET", f"{BELOW}/artifacts", x_request_id="r")
    unknown = Visitor(house, "tm_0123456789ab_" + "a" * 43).ask("GET", f"{BELOW}/artifacts", x_request_id="r")
    assert gone.status_code == unknown.status_code == 401
    assert gone.content == unknown.content
    assert chat(visitor).status_code == 401
    house.clock.offset = 0
    assert visitor.ask("GET", f"{BELOW}/artifacts").status_code == 401
    assert listed(house, key["id"])["state"] == "expired"


@pytest.mark.parametrize("expires", ["", "soon", "0s", "-1d", "1e9d", "9" * 39 + "d"])
def test_an_end_that_is_none_is_refused(house, expires):
    house.admin("POST", f"{BELOW}/keys", {"expires": expires}, status=400)


@pytest.mark.parametrize(
    "body",
    [
        {"role": "king"},
        {"role": 7},
        {"may": ["fly"]},
        {"may": []},
        {"may": "read"},
        {"person": "x" * 10_000},
        {"person": "Ana Smith"},
        {"endpoints": "support"},
        {"endpoints": ["support!"]},
        {"endpoints": [7]},
        {"expires": 30},
        {"secret": "mine"},
        [],
        "text",
    ],
    ids=lambda body: str(body)[:30],
)
def test_a_key_that_is_none_is_refused_and_nothing_kept(house, body):
    before = house.admin("GET", f"{BELOW}/keys?limit=1000")["items"]
    house.admin("POST", f"{BELOW}/keys", body, status=400)
    assert house.admin("GET", f"{BELOW}/keys?limit=1000")["items"] == before


def test_rotating_lets_both_work_for_the_overlap(house):
    old = made(house, role="developer", may=["read"], endpoints=[], expires="30d")
    new = house.admin("POST", f"{BELOW}/keys/{old['id']}:rotate", {"overlap": "1h"})
    assert (new["replaces"], new["may"], new["role"]) == (old["id"], ["read"], "developer")
    for each in (old, new):
        Visitor(house, each["key"])("GET", f"{BELOW}/artifacts")
    house.clock.offset = 2 * 3700  # the hour of the test before is over for good
    Visitor(house, old["key"])("GET", f"{BELOW}/artifacts", status=401)
    Visitor(house, new["key"])("GET", f"{BELOW}/artifacts")
    assert house.audit("shop", "key.rotated")[-1]["detail"]["new"] == new["id"]
    assert new["key"] not in str(house.audit("shop", "key"))


def test_last_use_is_kept_and_not_written_at_every_request(house):
    key = made(house, role="viewer")
    visitor = Visitor(house, key["key"])
    house.flush()
    database = house.app._app._entry._database
    written = database._written
    for _ in range(50):
        visitor("GET", f"{BELOW}/artifacts")
    assert database._written == written
    assert listed(house, key["id"])["used"] is None
    house.flush()
    assert listed(house, key["id"])["used"] is not None


def test_nobody_makes_a_key_or_a_grant_that_may_more_than_they(house):
    keeper = Visitor(house, made(house, role="admin", may=["read", "administer"])["key"])
    for body in ({"role": "developer"}, {"role": "admin"}, {"role": "reviewer", "may": ["approve"]}):
        keeper("POST", f"{BELOW}/keys", body, status=403)
    keeper("POST", f"{BELOW}/keys", {"role": "viewer"})
    strong = made(house, role="admin")
    keeper("POST", f"{BELOW}/keys/{strong['id']}:rotate", {}, status=403)
    house.admin("POST", "/api/v1/people", {"name": "eve"})
    keeper("POST", f"{BELOW}/access", {"person": "eve", "role": "operator"}, status=403)
    rule = keeper("POST", f"{BELOW}/access", {"person": "eve", "effect": "deny"})
    keeper("DELETE", f"{BELOW}/access/{rule['id']}", status=403)


def test_keys_are_listed_a_page_at_a_time(house):
    for _ in range(3):
        made(house, role="viewer")
    everything = [each["id"] for each in house.admin("GET", f"{BELOW}/keys?limit=1000")["items"]]
    found, cursor = [], ""
    while cursor is not None:
        page = house.admin("GET", f"{BELOW}/keys?limit=2{cursor and f'&cursor={cursor}'}")
        found += [each["id"] for each in page["items"]]
        cursor = page["next"]
    assert found == everything
    house.admin("GET", f"{BELOW}/keys?cursor=mine", status=400)


def test_a_grant_and_a_denial_count_from_the_next_request(house):
    house.admin("POST", "/api/v1/people", {"name": "ana"})
    granted = house.admin("POST", f"{BELOW}/access", {"person": "ana", "role": "developer"})
    ana = house.key("shop", role="admin", person="ana")
    deploy = ("POST", f"{BELOW}/endpoints/prod-1:deploy", {"app": "chain/help"})
    ana(*deploy)
    rule = {"person": "ana", "effect": "deny", "may": ["deploy"], "on": "endpoint/prod-*"}
    denied = house.admin("POST", f"{BELOW}/access", rule)
    said = ana(*deploy, status=403)
    assert denied["id"] in said["detail"]
    assert said["hint"] == "See: tidemill access check ana deploy endpoint/prod-1"
    ana("POST", f"{BELOW}/endpoints/staging:deploy", {"app": "chain/help"})
    body = {"person": "ana", "right": "deploy", "on": "endpoint/prod-1"}
    asked = house.admin("POST", f"{BELOW}/access:check", body)
    assert (asked["allowed"], asked["rules"][0]["rule"]) == (False, denied["id"])
    house.admin("DELETE", f"{BELOW}/access/{denied['id']}")
    ana(*deploy)
    house.admin("DELETE", f"{BELOW}/access/{granted['id']}")
    ana(*deploy, status=404)
    house.flush()
    line = next(each for each in house.audit("shop", "access.denied") if each["target"] == "endpoint/prod-1")
    assert (line["who"], line["detail"]["status"]) == ("person/ana", 403)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/endpoints/prod-1:rollback", {}),
        ("PUT", "/endpoints/prod-1", {"app": "chain/help"}),
        ("POST", "/rollouts", {"endpoint": "prod-1", "app": "chain/help", "share": 10}),
        ("POST", "/rollouts", {"endpoint": "endpoint/prod-1", "app": "chain/help", "share": 10}),
    ],
)
def test_no_door_goes_around_a_denial(house, method, path, body):
    name = "dan"
    if house.admin.ask("GET", f"/api/v1/people/{name}").status_code == 404:
        house.admin("POST", "/api/v1/people", {"name": name})
        house.admin("POST", f"{BELOW}/access", {"person": name, "role": "operator"})
        house.admin("POST", f"{BELOW}/access", {"person": name, "effect": "deny", "may": ["deploy"], "on": "endpoint/prod-*"})
    visitor = house.key("shop", role="operator", person=name)
    visitor(method, f"{BELOW}{path}", body, status=403)


def test_an_apply_is_all_or_nothing_under_narrowed_grants(house):
    house.admin("POST", "/api/v1/people", {"name": "writer"})
    house.admin("POST", f"{BELOW}/access", {"person": "writer", "may": ["develop"], "on": "prompt/*"})
    writer = house.key("shop", role="developer", person="writer")
    prompt, model = "{kind: prompt, name: own, text: hello}", "{kind: model, name: own, provider: test}"
    writer("POST", f"{BELOW}/apply", {"files": {"tidemill/a.yaml": f"{prompt}\n---\n{model}"}}, status=403)
    writer("GET", f"{BELOW}/artifacts/prompt/own", status=404)
    writer("POST", f"{BELOW}/apply", {"files": {"tidemill/a.yaml": prompt}})
    writer("POST", f"{BELOW}/runs", {"app": "chain/help", "inputs": {"question": "x"}}, status=403)


def test_an_archived_project_is_read_served_and_not_changed(house):
    house.fill("old")
    below = "/api/v1/projects/old"
    dev = house.key("old", role="developer")
    house.admin("PATCH", below, {"archived": True, "description": "kept for the record"})
    for visitor in (dev, house.admin):
        visitor("GET", f"{below}/artifacts")
        visitor("POST", f"{below}/apply", {"files": {"tidemill/a.yaml": "{kind: prompt, name: x, text: y}"}}, status=409)
        visitor("POST", f"{below}/endpoints/support:deploy", {"app": "chain/help"}, status=409)
    assert chat(dev).status_code == 200
    key_id = house.admin("GET", f"{below}/keys")["items"][0]["id"]
    house.admin("DELETE", f"{below}/keys/{key_id}")
    house.admin("PATCH", below, {"archived": False})
    house.admin("POST", f"{below}/endpoints/support:deploy", {"app": "chain/help"})
    assert [each["action"] for each in house.audit("old", "project")] == [
        "project.described",
        "project.archived",
        "project.restored",
    ]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "shop"}, 409),
        ({"name": "Shop"}, 400),
        ({"name": "_system"}, 400),
        ({"name": "*"}, 400),
        ({"name": ""}, 400),
        ({"name": "a" * 10_000_000}, 413),
        ({"name": "a" * 200}, 400),
        ({"name": 7}, 400),
        ({"name": "fine", "description": 7}, 400),
        ({"name": "fine", "description": "x" * 2001}, 400),
        ({}, 400),
    ],
    ids=lambda each: str(each)[:40],
)
def test_a_project_that_is_none_is_refused(house, body, status):
    answer = house.admin.ask("POST", "/api/v1/projects", body)
    assert answer.status_code in {status, 400}, answer.text[:300]
    assert house.admin.ask("GET", "/api/v1/projects/fine").status_code == 404


def test_the_data_plane_knows_the_same_rules(house):
    house.fill("bank")
    shop = house.key("shop", role="developer")
    assert chat(shop).status_code == 200
    there, nowhere = (chat(shop, x_tidemill_project=each) for each in ("bank", "none"))
    assert there.status_code == nowhere.status_code == 404
    assert there.text.replace("bank", "none") == nowhere.text
    assert chat(house.key("shop", role="admin", may=["administer"])).status_code == 403
    assert chat(house.key("shop", endpoints=["other"])).status_code == 403
    assert chat(Visitor(house)).status_code == 401
    house.admin("POST", "/api/v1/people", {"name": "zoe"})
    assert chat(house.key("shop", role="developer", person="zoe")).status_code == 404


def test_a_key_that_may_not_deploy_starts_no_pipeline_that_does(house):
    ships = "{kind: pipeline, name: ships, steps: [{id: out, deploy: {app: chain/help, endpoint: endpoint/shipped}}]}"
    house.admin("POST", f"{BELOW}/apply", {"files": {"tidemill/p.yaml": ships}})
    writer = house.key("shop", role="developer", may=["read", "develop"])
    writer("POST", f"{BELOW}/pipelines/ships:run", {}, status=403)
    house.key("shop", role="developer")("POST", f"{BELOW}/pipelines/ships:run", {})
