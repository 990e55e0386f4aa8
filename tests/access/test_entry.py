"""Ways in that a browser, a proxy and a careful attacker try: headers that came twice, hosts and origins that are none."""

from __future__ import annotations

import pytest

from access.house import HOST, House, Visitor

SESSION = "/api/v1/session"


@pytest.fixture(scope="module")
def filled(running: House) -> House:
    running.fill("shop")
    return running


def raw(house, *headers, path=SESSION, method="GET"):
    """A request with exactly these headers, such as no client sends."""

    async def send():
        answered = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def keep(message):
            answered.append(message)

        sent = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": sent,
        }
        scope |= {"http_version": "1.1", "scheme": "http", "server": (HOST, 80), "client": (HOST, 1), "root_path": ""}
        await house.app(scope, receive, keep)
        return answered[0]["status"]

    return house.portal.call(send)


@pytest.mark.parametrize(
    "host",
    ["[", "]", "[::1", "evil@127.0.0.1", "127.0.0.1/x", "127.0.0.1:x", "127.0.0.1:1:2", "127.0.0.1.evil.example", "0x7f.1", ""],
)
@pytest.mark.parametrize("path", [SESSION, "/v1/models", "/login"])
def test_a_host_that_is_none_is_refused_everywhere(filled, host, path):
    assert raw(filled, ("host", host), ("authorization", f"Bearer {filled.admin.token}"), path=path) == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8710", "localhost:1", "LOCALHOST", "[::1]:8710"])
def test_a_host_of_ours_is_served(filled, host):
    assert raw(filled, ("host", host), ("authorization", f"Bearer {filled.admin.token}")) == 200


@pytest.mark.parametrize("name", ["host", "authorization", "x-api-key", "x-tidemill-project"])
@pytest.mark.parametrize("path", [SESSION, "/v1/models"])
def test_what_says_who_is_calling_comes_once(filled, name, path):
    """A proxy that checks the first of two, before a server that reads the last, would let anybody be anybody."""
    sent = {"host": HOST, "authorization": f"Bearer {filled.admin.token}", "x-api-key": "x", "x-tidemill-project": "shop"}
    assert raw(filled, *sent.items(), (name, sent[name]), path=path) == 400


@pytest.mark.parametrize("origin", ["http://[", "null", "", "http://", f"http://{HOST}.evil.example", f"http://x@{HOST}", HOST])
def test_an_origin_that_is_not_ours_changes_nothing_by_cookie(filled, origin):
    browser = filled.browser()
    Visitor(filled, headers=browser.headers | {"origin": origin})("POST", "/api/v1/projects/shop/keys", {}, status=403)
    browser("POST", "/api/v1/projects/shop/keys", {"role": "viewer"}, status=201)


def test_cookies_in_several_headers_are_one(filled):
    browser = filled.browser()
    assert raw(filled, ("host", HOST), ("cookie", browser.headers["cookie"]), ("cookie", "other=1")) == 200


def test_a_session_of_before_somebody_was_disabled_stays_ended(filled):
    filled.admin("POST", "/api/v1/people", {"name": "una"})
    browser = filled.browser("una")
    link = filled.admin("POST", "/api/v1/login-links", {"person": "una"})["path"]
    for disabled in (True, False):
        filled.admin("PATCH", "/api/v1/people/una", {"disabled": disabled})
    browser("GET", SESSION, status=401)
    assert filled.send("GET", link, None, {}).status_code == 403
    filled.browser("una")("GET", SESSION)
