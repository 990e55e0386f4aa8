"""Questions of numbers over HTTP: what is answered, what is refused, and a price that was corrected."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from api.house import Project

pytest.importorskip("chdb", reason="needs the extra analytics")
pytest.importorskip("clickhouse_connect", reason="needs the extra analytics")
NOW_NS = time.time_ns()


def span(
    number: int, *, ago: float, model: str = "gpt-4o-mini", failed: bool = False, took_ms: int = 100, release: str = ""
) -> Any:
    start = NOW_NS - round(ago * 1e9)
    attributes: list[tuple[str, dict[str, object]]] = [
        ("gen_ai.operation.name", {"stringValue": "chat"}), ("gen_ai.provider.name", {"stringValue": "openai"}),
        ("gen_ai.request.model", {"stringValue": model}), ("gen_ai.usage.input_tokens", {"intValue": "1000000"}),
        ("tidemill.kind", {"stringValue": "llm"}),
        ("tidemill.release", {"stringValue": release}), ("team", {"stringValue": f"team {number % 2}"}),
    ]  # fmt: skip
    return {
        "traceId": f"{number + 1:032x}", "spanId": f"{number + 1:016x}", "name": "ask", "kind": 1,
        "startTimeUnixNano": str(start), "endTimeUnixNano": str(start + took_ms * 1_000_000),
        "status": {"code": 2 if failed else 1},
        "attributes": [{"key": key, "value": value} for key, value in attributes],
    }  # fmt: skip


def send(project: Project, *spans: Any) -> None:
    body = {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {"name": "t"}, "spans": spans}]}]}
    headers = {"x-tidemill-project": project.name, "authorization": f"Bearer {project.house.token}"}
    answer = httpx.post(f"{project.house.url}/v1/traces", json=body, headers=headers, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text


def measured(answer: Any) -> dict[str, dict[str, float]]:
    return {"/".join(each["by"].values()): each["points"][0]["values"] for each in answer["series"]}


def test_numbers_of_what_was_sent(filled: Project) -> None:
    spans = [span(number, ago=600 + number, failed=number < 10, took_ms=100 + number) for number in range(40)]
    send(filled, *spans, *spans[:5], span(50, ago=600, model="our-own"))
    asked = {"measures": ["count", "error_rate", "cost", "latency.p50"], "by": ["model"], "from": "2h"}
    answer = filled.post("/query", asked)
    found = measured(answer)
    assert (answer["of"], answer["sampled"], answer["quantile_error"]) == ("calls", False, 0.01)
    assert found["gpt-4o-mini"] == {
        "count": 40, "error_rate": 0.25, "cost": pytest.approx(6.0), "latency.p50": pytest.approx(120, rel=0.011),
    }  # fmt: skip
    assert found["our-own"]["cost"] == 0
    low, high = answer["series"][0]["points"][0]["intervals"]["error_rate"]
    assert 0.1 < low < 0.25 < high < 0.45
    by_team = measured(filled.post("/query", {"measures": ["count"], "by": ['attr."team"'], "from": "2h", "of": "spans"}))
    assert by_team == {"team 0": {"count": 21}, "team 1": {"count": 20}}
    series = filled.post("/query", {"measures": ["requests"], "interval": "minute", "from": "1h"})["series"][0]["points"]
    assert len(series) == 61
    assert sum(each["values"]["requests"] for each in series) == 41
    assert series[0]["values"]["requests"] == 0


def test_two_releases_and_two_times_are_compared(filled: Project) -> None:
    one, two = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    send(filled, *(span(number, ago=600, took_ms=100 + number % 20, release=one) for number in range(200)))
    send(filled, *(span(number + 500, ago=600, took_ms=300 + number % 20, release=two) for number in range(200)))
    asked = {
        "measures": ["latency.p95", "error_rate", "count"],
        "of": "calls",
        "from": "2h",
        "compare": {"releases": [one, two]},
    }
    found = filled.post("/query", asked)["items"][0]["measures"]
    assert found["latency.p95"]["verdict"] == "worse", found
    assert found["latency.p95"]["difference"] == pytest.approx(200, rel=0.05)
    low, high = found["latency.p95"]["interval"]
    assert 150 < low < 200 < high < 250
    assert found["error_rate"]["verdict"] == "no difference shown"
    assert found["count"]["n"] == [200, 200]
    times = filled.post("/query", {"measures": ["count"], "of": "calls", "from": "1h", "compare": {"from": "2h", "to": "1h"}})
    assert times["items"][0]["measures"]["count"]["verdict"] == "higher"
    assert times["a"]["to"] == times["b"]["from"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"measures": []}, "0 measures"),
        ({"measures": ["latency.p950"]}, "unknown measure"),
        ({"measures": ["count"], "by": ["input"]}, "cannot be by"),
        ({"measures": ["count"], "by": ["cost"]}, "is a number"),
        ({"measures": ["count"], "by": ["model'); DROP TABLE spans --"]}, "cannot be by"),
        ({"measures": ["count"], "interval": "week"}, "unknown interval"),
        ({"measures": ["count"], "interval": "minute", "from": "90d"}, "more than the 5000"),
        ({"measures": ["count"], "zone": "Mars/Olympus", "interval": "day"}, "time zone"),
        ({"measures": ["count"], "zone": "../../etc/passwd"}, "time zone"),
        ({"measures": ["count"], "from": "1h", "to": "2h"}, "ends before it begins"),
        ({"measures": ["count"], "filter": "model = "}, "needs a value"),
        ({"measures": ["count"], "order": "cost"}, "cannot order by"),
        ({"measures": ["count"], "of": "traces"}, "are not of"),
        ({"measures": ["count"], "compare": {}}, "another time or of two releases"),
        ({"measures": ["count"], "interval": "hour", "compare": {"from": "2h", "to": "1h"}}, "no interval"),
    ],
)
def test_what_cannot_be_answered_is_said(filled: Project, body: Any, said: str) -> None:
    answer = filled("POST", "/query", json=body, status=400)
    assert said in answer["title"] + answer.get("detail", ""), answer


def test_values_of_a_filter_are_never_sql(filled: Project) -> None:
    send(filled, span(0, ago=600))
    for text in ("' OR 1=1 --", "{project:String}", "\\", "%", "\x00"):
        body = {"measures": ["count"], "by": ["tag.x"], "filter": f'model = "{text}"', "from": "2h"}
        answer = filled.raw("POST", "/query", json=body)
        assert answer.status_code in {200, 400}, answer.text
        assert answer.status_code == 400 or answer.json()["series"] == []


def test_a_corrected_price_changes_what_was_spent(filled: Project) -> None:
    send(filled, *(span(number, ago=600) for number in range(4)))
    spent = {"measures": ["cost"], "from": "2h"}
    assert measured(filled.post("/query", spent))[""]["cost"] == pytest.approx(0.6)
    filled.apply(prices="{kind: telemetry, name: default, prices: [{model: gpt-4o-mini, input: 1}]}")
    asked = {"model": "gpt-4o*", "from": "2h"}
    job = filled.finish(filled.post("/spans:reprice", {**asked, "dry_run": True})["job"])
    assert job["result"]["changed"] == 4
    assert job["result"]["difference"] == pytest.approx(3.4)
    assert measured(filled.post("/query", spent))[""]["cost"] == pytest.approx(0.6)
    filled.finish(filled.post("/spans:reprice", asked)["job"])
    assert measured(filled.post("/query", spent))[""]["cost"] == pytest.approx(4.0)
    answer = filled("POST", "/spans:reprice", json={"model": "x", "from": "1h", "to": "2h"}, status=400)
    assert "ends before" in answer["title"] + answer.get("detail", "")


def test_numbers_of_metrics(filled: Project) -> None:
    def point(model: str, total: float, buckets: list[str]) -> Any:
        return {
            "timeUnixNano": str(NOW_NS - 60 * 10**9), "startTimeUnixNano": str(NOW_NS - 120 * 10**9),
            "count": "4", "sum": total,
            "explicitBounds": [10, 100], "bucketCounts": buckets, "max": 90,
            "attributes": [{"key": "gen_ai.request.model", "value": {"stringValue": model}}],
        }  # fmt: skip

    points = [point("small", 40.0, ["2", "2", "0"]), point("large", 300.0, ["0", "4", "0"])]
    metric = {"name": "gen_ai.client.token.usage", "histogram": {"aggregationTemporality": 1, "dataPoints": points}}
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    headers = {"x-tidemill-project": filled.name, "authorization": f"Bearer {filled.house.token}"}
    sent = httpx.post(f"{filled.house.url}/v1/metrics", json=body, headers=headers, timeout=60, trust_env=False)
    assert sent.status_code == 200, sent.text
    names = [f"metric.gen_ai.client.token.usage.{what}" for what in ("sum", "count", "p95")]
    answer = filled.post("/query", {"measures": names, "by": ["model"], "from": "1h"})
    assert (answer["of"], answer["level"]) == ("points", 1.0)
    assert measured(answer) == {
        "large": dict(zip(names, (300, 4, pytest.approx(86, abs=0.1)), strict=True)),
        "small": dict(zip(names, (40, 4, pytest.approx(82, abs=0.1)), strict=True)),
    }  # fmt: skip
    assert list(measured(answer)) == ["large", "small"]
    assert answer["series"][0]["points"][0]["intervals"] == {names[2]: [10, 90]}
    for refused in ({"measures": [names[0], "cost"]}, {"measures": names, "compare": {"from": "2h"}}):
        assert filled.raw("POST", "/query", json=refused).status_code in {400, 422}
