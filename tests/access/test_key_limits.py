"""Keys with limits, as an operator makes them and as a caller meets them; what is counted is what the traces say."""

from __future__ import annotations

import pytest

from access.house import House, Visitor

BELOW = "/api/v1/projects/shop"


@pytest.fixture(scope="module", autouse=True)
def shop(running: House) -> None:
    running.fill("shop")


def made(house, **body):
    return house.admin("POST", f"{BELOW}/keys", body)


def visitor(house, **body):
    key = made(house, **body)
    return key["id"], Visitor(house, key["key"])


def chat(visitor, model="endpoint/support", *, stream=False, **headers):
    body = {"model": model, "messages": [{"role": "user", "content": "one two three"}], "stream": stream}
    return visitor.ask("POST", "/v1/chat/completions", body, **headers)


def usage(house, key_id):
    return house.admin("GET", f"{BELOW}/keys/{key_id}/usage")


@pytest.mark.parametrize("model", ["endpoint/support", "model/echo"])
@pytest.mark.parametrize("stream", [False, True])
def test_every_answer_says_how_the_limits_stand_and_the_third_is_refused(house, model, stream):
    key_id, caller = visitor(house, limits={"rpm": 2, "tpm": 100_000})
    for left in ("1", "0"):
        answer = chat(caller, model, stream=stream)
        assert answer.status_code == 200, answer.text
        assert (answer.headers["x-ratelimit-limit-requests"], answer.headers["x-ratelimit-remaining-requests"]) == ("2", left)
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) < 100_000
    refused = chat(caller, model, stream=stream)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert f"key/{key_id} may use 2 requests a minute" in refused.json()["error"]["message"]
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    found = usage(house, key_id)
    assert (found["total"]["requests"], found["total"]["refused"]) == (2, 1)
    assert found["limits"][0] == {"unit": "requests", "per": "minute", "limit": 2}


def test_what_is_counted_is_what_the_traces_say(house):
    key_id, caller = visitor(house, limits={"requests": {"day": 50}, "budget": {"hard": "1/month", "soft": "50%"}})
    ids = [chat(caller, stream=number % 2 == 0).headers["x-tidemill-trace"] for number in range(6)]
    traces = [house.admin("GET", f"{BELOW}/traces/{each}") for each in ids]
    total = usage(house, key_id)["total"]
    assert total["requests"] == 6
    assert total["input_tokens"] == sum(each["usage"]["input_tokens"] for each in traces) > 0
    assert total["output_tokens"] == sum(each["usage"]["output_tokens"] for each in traces) > 0
    assert total["cost"] == sum(each["cost"] for each in traces)
    limits = {(each["unit"], each["per"]): each for each in usage(house, key_id)["limits"]}
    assert limits["requests", "day"] == {"unit": "requests", "per": "day", "limit": 50, "used": 6}
    assert limits["money", "month"] == {"unit": "money", "per": "month", "limit": 1.0, "soft": 0.5, "used": 0.0}
    listed = next(each for each in house.admin("GET", f"{BELOW}/keys?limit=1000")["items"] if each["id"] == key_id)
    assert listed["month"]["requests"] == 6
    assert listed["limits"]["budget"] == [{"hard": 1.0, "soft": 0.5, "per": "month"}]
    by_key = house.admin("GET", f"{BELOW}/usage?by=key")["items"]
    assert next(each for each in by_key if each["subject"] == f"key/{key_id}")["requests"] == 6
    assert any(each["subject"] == "endpoint/support" for each in house.admin("GET", f"{BELOW}/usage?by=endpoint")["items"])


def test_limits_change_while_the_key_is_used(house):
    key_id, caller = visitor(house, limits={"requests": {"day": 1}})
    assert chat(caller).status_code == 200
    assert chat(caller).status_code == 429
    changed = house.admin("PATCH", f"{BELOW}/keys/{key_id}", {"limits": {"rpd": 2, "concurrency": 3}})
    assert changed["limits"] == {"requests": {"day": 2}, "concurrency": 3}
    assert chat(caller).status_code == 200
    assert chat(caller).status_code == 429
    assert house.admin("PATCH", f"{BELOW}/keys/{key_id}", {"limits": None})["limits"] == {}
    answer = chat(caller)
    assert answer.status_code == 200
    assert "x-ratelimit-limit-requests" not in answer.headers
    assert [each["action"] for each in house.audit("shop", "key.limits")] == ["key.limits"] * 2


def test_a_budget_of_nothing_is_gone(house):
    _, caller = visitor(house, limits={"budget": "0/month", "rpm": 0})
    assert chat(caller).status_code == 429
    house.admin("POST", f"{BELOW}/apply", {"files": {"tidemill/l.yaml": "kind: limits\nname: none\nfor: team/none\nrpd: 0\n"}})
    _, poor = visitor(house, team="none")
    refused = chat(poor)
    assert refused.status_code == 429
    assert "team/none" in refused.json()["error"]["message"]


def test_an_endpoint_has_limits_of_its_own(house):
    document = "kind: endpoint\nname: support\napp: chain/help\nlimits: {requests: {month: 0}}\n"
    key = house.key("shop")
    house.admin("POST", f"{BELOW}/apply", {"files": {"tidemill/e.yaml": document}})
    assert chat(key).status_code == 429
    assert chat(key, "model/echo").status_code == 200
    house.admin("POST", f"{BELOW}/apply", {"files": {"tidemill/e.yaml": document.replace("month: 0", "month: 100000")}})
    assert chat(key).status_code == 200


@pytest.mark.parametrize(
    ("names", "model", "status"),
    [
        ({"models": ["echo"]}, "model/echo", 200),
        ({"models": ["model/echo"]}, "endpoint/support", 403),
        ({"models": ["other"]}, "model/echo", 403),
        ({"models": ["route/echo"]}, "model/echo", 403),
        ({"models": ["echo"], "endpoints": ["support"]}, "endpoint/support", 200),
        ({"endpoints": ["support"]}, "model/echo", 403),
        ({"models": ["echo"]}, "chain/help", 403),
    ],
)
def test_a_key_calls_the_models_that_it_names(house, names, model, status):
    key = house.key("shop", **names)
    answer = chat(key, model)
    assert answer.status_code == status, answer.text
    listed = {each["id"] for each in key("GET", "/v1/models")["data"]}
    assert (model in listed) == (status == 200)


@pytest.mark.parametrize(
    "body",
    [
        {"limits": {"rpm": -1}},
        {"limits": {"rpm": 1.5}},
        {"limits": {"rpm": True}},
        {"limits": {"rpm": 10**30}},
        {"limits": {"budget": "10/year"}},
        {"limits": {"budget": "-1/month"}},
        {"limits": {"budget": ["1/day", "2/day"]}},
        {"limits": {"budget": {"soft": "80%"}}},
        {"limits": {"budget": "9999999999/month"}},
        {"limits": {"tokens": 5}},
        {"limits": {"tokens": {"year": 5}}},
        {"limits": {"speed": 5}},
        {"limits": []},
        {"models": ["chain/x"]},
        {"models": ["A B"]},
        {"team": "../x"},
    ],
)
def test_limits_that_are_none_are_refused(house, body):
    house.admin("POST", f"{BELOW}/keys", body, status=400)


def test_a_viewer_changes_no_limits(house):
    key_id, _ = visitor(house)
    viewer = house.key("shop", role="viewer")
    viewer("PATCH", f"{BELOW}/keys/{key_id}", {"limits": {"rpm": 1}}, status=403)
    viewer("GET", f"{BELOW}/keys/{key_id}/usage")
    house.admin("GET", f"{BELOW}/keys/ffffffffffff/usage", status=404)
    house.admin("PATCH", f"{BELOW}/keys/ffffffffffff", {"limits": None}, status=404)
