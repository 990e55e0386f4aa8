"""Logging in by a link, what a browser then may, and logging out."""

from __future__ import annotations

import pytest

from access.house import HOST, House, Visitor


@pytest.fixture(scope="module")
def ana(running: House) -> str:
    """A developer of the project `shop`, and a viewer of `bank`."""
    running.fill("shop")
    running.fill("bank")
    running.admin("POST", "/api/v1/people", {"name": "ana", "email": "ana@example.org"})
    for project, role in (("shop", "developer"), ("bank", "viewer")):
        running.admin("POST", f"/api/v1/projects/{project}/access", {"person": "ana", "role": role})
    return "ana"


def link(house, person=None):
    return house.admin("POST", "/api/v1/login-links", {"person": person})["path"]


def test_a_link_makes_a_session_and_leaves_nothing_else_in_the_browser(house, ana):
    answer = house.send("GET", link(house, ana), None, {})
    cookies = answer.headers.get_list("set-cookie")
    session = next(each for each in cookies if each.startswith("tidemill_session=tms_"))
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in session.split(";")}
    assert any(each.startswith("tidemill_token=") and "Max-Age=0" in each for each in cookies)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert house.admin.token not in str(answer.headers)


def test_over_https_the_cookie_is_for_https_alone(house, ana):
    async def send():
        return await house.http.get(f"https://{HOST}{link_of}")

    link_of = link(house, ana)
    answer = house.portal.call(send)
    assert "Secure" in answer.headers["set-cookie"]
    house.http.cookies.clear()


@pytest.mark.parametrize("path", ["/login?code=", "/login?code=x", "/login?token=", "/login?token=tm_0_" + "a" * 40])
def test_a_link_that_is_none_does_not_log_in(house, path):
    answer = house.send("GET", path, None, {})
    assert "set-cookie" not in answer.headers
    assert answer.status_code in {200, 403}


def test_looking_at_a_link_does_not_use_it_and_using_it_does(house, ana):
    path = link(house, ana)
    assert house.send("HEAD", path, None, {}).status_code in {200, 405}
    assert house.send("GET", path, None, {"host": "evil.example"}).status_code == 403
    assert house.send("GET", path, None, {}).status_code == 303
    again = house.send("GET", path, None, {})
    assert again.status_code == 403
    assert "not valid any more" in again.text


def test_the_admin_token_still_logs_in_and_is_not_what_the_cookie_holds(house):
    browser = house.follow(f"/login?token={house.admin.token}")
    assert house.admin.token not in browser.headers["cookie"]
    who = browser("GET", "/api/v1/session")
    assert (who["who"], who["admin"], who["by"]) == ("admin", True, "session")
    cookie = {"cookie": f"tidemill_session={house.admin.token}"}
    assert Visitor(house, headers=cookie).ask("GET", "/api/v1/session").status_code == 401


def test_a_session_says_who_it_is_and_what_they_may(house, ana):
    who = house.browser(ana)("GET", "/api/v1/session")
    assert (who["who"], who["admin"], who["by"]) == ("person/ana", False, "session")
    assert {each["name"]: each["role"] for each in who["projects"]} == {"shop": "developer", "bank": "viewer"}
    assert next(each for each in who["projects"] if each["name"] == "bank")["rights"] == ["read"]
    assert house.key("shop", role="viewer")("GET", "/api/v1/session")["csrf"] is None


def test_a_person_changes_what_is_theirs_in_each_of_their_projects(house, ana):
    browser = house.browser(ana)
    browser("POST", "/api/v1/projects/shop/endpoints/of-ana:deploy", {"app": "chain/help"})
    browser("GET", "/api/v1/projects/bank/artifacts")
    browser("POST", "/api/v1/projects/bank/endpoints/support:deploy", {"app": "chain/help"}, status=403)
    browser("GET", "/api/v1/projects/other/artifacts", status=404)
    assert house.audit("shop", "deploy")[-1]["who"] == "person/ana"


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": "http://evil.example"},
        {"origin": ""},
        {"x-tidemill-csrf": ""},
        {"x-tidemill-csrf": "0" * 64},
        {"origin": "null"},
    ],
    ids=str,
)
def test_a_change_by_cookie_needs_the_origin_and_the_token(house, ana, changed):
    browser = house.browser(ana)
    headers = {**browser.headers, **changed}
    forged = Visitor(house, headers={name: value for name, value in headers.items() if value})
    forged("POST", "/api/v1/projects/shop/endpoints/support:deploy", {"app": "chain/help"}, status=403)
    forged("GET", "/api/v1/projects/shop/artifacts")


def test_the_token_of_another_session_does_not_serve(house, ana):
    one, other = house.browser(ana), house.browser(ana)
    mixed = Visitor(house, headers={**one.headers, "x-tidemill-csrf": other.headers["x-tidemill-csrf"]})
    mixed("POST", "/api/v1/projects/shop/releases", {"root": "chain/help"}, status=403)


def test_logging_out_ends_it_and_logging_in_again_ends_the_one_before(house, ana):
    browser = house.browser(ana)
    browser("DELETE", "/api/v1/session")
    browser("GET", "/api/v1/session", status=401)
    first = house.browser(ana)
    house.follow(link(house, ana), cookie=first.headers["cookie"])
    first("GET", "/api/v1/session", status=401)
    house.admin("DELETE", "/api/v1/session", status=404)


def test_sessions_are_seen_and_ended_by_whose_they_are_and_by_the_admin(house, ana):
    one, other = house.browser(ana), house.browser()
    mine = one("GET", "/api/v1/sessions")["items"]
    assert {each["who"] for each in mine} == {"person/ana"}
    assert len([each for each in mine if each["this"]]) == 1
    foreign = next(each["id"] for each in other("GET", "/api/v1/sessions")["items"] if each["this"])
    one("DELETE", f"/api/v1/sessions/{foreign}", status=404)
    house.admin("DELETE", f"/api/v1/sessions/{next(each['id'] for each in mine if each['this'])}")
    one("GET", "/api/v1/session", status=401)
    other("GET", "/api/v1/session")


def test_disabling_somebody_ends_their_sessions_and_keys_at_once(house):
    house.admin("POST", "/api/v1/people", {"name": "bob"})
    house.admin("POST", "/api/v1/projects/shop/access", {"person": "bob", "role": "developer"})
    browser, key = house.browser("bob"), house.key("shop", role="developer", person="bob")
    for each in (browser, key):
        each("GET", "/api/v1/projects/shop/artifacts")
    house.admin("PATCH", "/api/v1/people/bob", {"disabled": True})
    for each in (browser, key):
        assert each.ask("GET", "/api/v1/projects/shop/artifacts").json()["detail"] == "the token is not known"


def test_a_session_ends_by_the_clock_and_does_not_come_back_with_it(house, ana):
    browser = house.browser(ana)
    house.clock.offset = 13 * 3600
    browser("GET", "/api/v1/session", status=401)
    house.clock.offset = 0
    browser("GET", "/api/v1/session", status=401)


def test_only_the_admin_logs_others_in(house, ana):
    key = house.key("shop", role="admin")
    key("POST", "/api/v1/login-links", {"person": "ana"}, status=403)
    made = key("POST", "/api/v1/login-links")
    who = house.follow(made["path"])("GET", "/api/v1/session")
    assert [each["name"] for each in who["projects"]] == ["shop"]
    house.key("shop", endpoints=["support"])("POST", "/api/v1/login-links", status=403)
    house.admin("POST", "/api/v1/login-links", {"person": "nobody"}, status=404)


def test_logins_and_logouts_are_in_the_audit_and_the_chain_holds(house, ana):
    house.browser(ana)("DELETE", "/api/v1/session")
    lines = [each["action"] for each in house.audit(None, "login")]
    assert {"login", "login.link_made"} <= set(lines)
    assert house.audit(None, "logout")[-1]["who"] == "person/ana"
    assert house.admin("GET", "/api/v1/audit/verify")["ok"]


def test_whoever_administers_every_project_does_so_by_login(house, ana):
    house.admin("POST", "/api/v1/people", {"name": "root"})
    browser = house.browser("root")
    browser("POST", "/api/v1/projects", {"name": "made-by-root"}, status=403)
    rule = house.admin("POST", "/api/v1/access", {"person": "root", "role": "admin"})
    browser("POST", "/api/v1/projects", {"name": "made-by-root"})
    browser("POST", "/api/v1/access", {"person": "root", "effect": "deny"})
    browser("GET", "/api/v1/people", status=403)
    house.admin("DELETE", f"/api/v1/access/{rule['id']}")
    house.admin("GET", "/api/v1/people")  # nobody locks the admin token out
