"""`GET /metrics`, logs and own spans of a real server."""

from __future__ import annotations

import json
import re
import subprocess
import time

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_plain

from telemetry.instrument.served import TIDEMILL, blocks, clean_environ, serving
from tidemill.telemetry.watch import METRICS, MOST_SERIES, Measures

OPEN = {"accept": "application/openmetrics-text; version=1.0.0"}
MODEL = "kind: model\nname: small\nprovider: test\nreply: It is {{input}}.\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "tidemill").mkdir()
    (folder / "tidemill.toml").touch()
    (folder / "tidemill" / "model.yaml").write_text(MODEL)
    with serving(
        folder, "--log-format", "json", "--log-level", "info", errors=folder / "log", TIDEMILL_OWN_SPANS="all"
    ) as found:
        found.run(TIDEMILL, "apply", "--yes")
        yield found


@pytest.fixture
def http(served):
    with httpx.Client(base_url=served.url, headers={"authorization": f"Bearer {served.token}"}, timeout=60) as found:
        yield found


def figures(text):
    return {(sample.name, *sorted(sample.labels.items())): sample.value for each in read_open(text) for sample in each.samples}


def test_requests_calls_and_spans_are_counted(http) -> None:
    before = figures(http.get("/metrics", headers=OPEN).text)
    asked = {"model": "model/small", "messages": [{"role": "user", "content": "one two"}]}
    assert http.post("/v1/chat/completions", json=asked).status_code == 200
    assert http.get("/api/v1/projects/default/artifacts/model/small").status_code == 200
    assert http.get("/api/v1/projects/default/artifacts/model/none").status_code == 404
    answer = http.get("/metrics", headers=OPEN)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    after = figures(answer.text)

    def grown(name, **labels):
        key = (name, *sorted(labels.items()))
        return after[key] - before.get(key, 0)

    route = "/api/v1/projects/{project}/artifacts/{kind}/{name}"
    assert grown("tidemill_http_requests_total", method="GET", route=route, status="200") == 1
    assert grown("tidemill_http_requests_total", method="GET", route=route, status="404") == 1
    assert grown("tidemill_http_request_duration_seconds_count", route=route) == 2
    assert grown("tidemill_http_request_duration_seconds_bucket", route=route, le="+Inf") == 2
    assert grown("tidemill_provider_calls_total", provider="test", status="ok") == 1
    assert grown("tidemill_tokens_total", provider="test", model="small", **{"class": "input"}) == 2
    assert after[("tidemill_http_requests_in_flight",)] == 1
    assert after[("tidemill_disk_free_bytes",)] > 0
    server = [
        value for key, value in after.items() if key[0] == "tidemill_process_resident_bytes" and ("process", "server") in key
    ]
    assert server[0] > 10_000_000


def test_both_forms_are_read_and_have_every_metric(http) -> None:
    named = {each.name for each in read_open(http.get("/metrics", headers=OPEN).text)}
    assert named == set(METRICS)
    plain = http.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert {each.name for each in read_plain(plain.text)} == set(METRICS)


def test_who_may_look(served, http) -> None:
    assert httpx.get(f"{served.url}/metrics").status_code == 401
    for role, status in (("viewer", 403), ("developer", 403), ("operator", 200), ("admin", 200)):
        key = served.json("keys", "create", "--role", role)
        headers = {"authorization": f"Bearer {key.get('secret') or key['key']}"}
        assert httpx.get(f"{served.url}/metrics", headers=headers, timeout=60).status_code == status, role
    endpoint = served.json("keys", "create", "--role", "operator")
    assert "tm_" not in http.get("/metrics").text
    assert endpoint
    assert http.post("/metrics").status_code == 405
    assert httpx.get(f"{served.url}/metrics", headers={"host": "evil.example"}).status_code == 403


def test_the_scrape_of_the_guide(served) -> None:
    from ruamel.yaml import YAML

    (body,) = [body for info, body in blocks("operate.md") if info[0] == "yaml" and "scrape_configs" in body]
    (scrape,) = YAML(typ="safe").load(body)["scrape_configs"]
    assert scrape["authorization"]["type"] == "Bearer"
    secret = (served.folder / ".tidemill" / "token").read_text().strip()
    assert scrape["authorization"]["credentials_file"].endswith("/.tidemill/token")
    url = f"{scrape['scheme']}://{served.url.partition('://')[2]}{scrape['metrics_path']}"
    answer = httpx.get(url, headers={"authorization": f"Bearer {secret}", **OPEN}, timeout=60)
    assert {each.name for each in read_open(answer.text)} == set(METRICS)
    (rules,) = [body for info, body in blocks("operate.md") if info[0] == "yaml" and "groups" in body]
    known = {each.full_name for each in METRICS.values()} | {f"{name}_bucket" for name in METRICS}
    for group in YAML(typ="safe").load(rules)["groups"]:
        for each in group["rules"]:
            assert set(re.findall(r"tidemill_\w+", each["expr"])) <= known, each


def test_lines_are_json_with_the_trace_and_without_secrets(served, http) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    http.get("/api/v1/projects/default/artifacts?kind=model", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    http.get("/healthz")  # on the same connection: the line of the request before is written
    lines = [json.loads(each) for each in (served.folder / "log").read_text().splitlines()]
    (mine,) = [each for each in lines if each.get("trace_id") == trace]
    assert (mine["level"], mine["logger"], mine["status"]) == ("info", "tidemill.requests", 200)
    assert mine["message"] == "GET /api/v1/projects/{project}/artifacts 200"
    assert len(mine["span_id"]) == 16
    assert served.token not in (served.folder / "log").read_text()


def test_own_requests_are_traces_of_their_own_project(served, http) -> None:
    http.get("/api/v1/projects/default/artifacts?kind=dataset")
    found = served.json("traces", "list", "--project", "tidemill-internal")["items"]
    assert "GET /api/v1/projects/{project}/artifacts" in {each["name"] for each in found}
    assert not [each for each in served.json("traces", "list")["items"] if each["name"].startswith("GET ")]


def test_a_metric_has_a_bound_of_series_and_any_label() -> None:
    measures = Measures()
    for n in range(MOST_SERIES + 100):
        measures.count("tidemill_cost_dollars", (f"p{n}", 'a "quoted"\nmodel\\'), 0.5)
    samples = figures(measures.text({}, is_open=True))
    assert len(samples) == MOST_SERIES + 1
    assert samples[("tidemill_cost_dollars_total", ("model", "other"), ("provider", "other"))] == 50
    assert samples[("tidemill_cost_dollars_total", ("model", 'a "quoted"\nmodel\\'), ("provider", "p0"))] == 0.5


@pytest.mark.parametrize(
    ("words", "environ", "said"),
    [
        (("--log-format", "xml"), {}, "log-format"),
        ((), {"TIDEMILL_LOG_LEVEL": "loud"}, "'loud' is no level of logs"),
        ((), {"TIDEMILL_LOG_FORMAT": "jsn"}, "'jsn' is no form of logs"),
        ((), {"TIDEMILL_OWN_SPANS": "some"}, "TIDEMILL_OWN_SPANS=some"),
    ],
)
def test_wrong_settings(tmp_path, words, environ, said) -> None:
    command, env = [TIDEMILL, "up", "--port", "0", *words], clean_environ() | environ
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert said in ended.stderr


def test_a_scrape_is_quick(http) -> None:
    http.get("/metrics")
    start = time.perf_counter()
    http.get("/metrics")
    assert time.perf_counter() - start < 5


def test_doctor_and_the_client_show_the_figures(served) -> None:
    checks = {each["what"]: each for each in served.json("doctor")["checks"]}
    assert checks["spans"]["result"] == "ok"
    assert "0 dropped" in checks["spans"]["said"]
    assert "server " in checks["processes"]["said"]
