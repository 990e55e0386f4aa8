"""A pipeline over the whole platform, by its public routes: a change is measured, approved, tried on a share, and promoted."""

from __future__ import annotations

import contextlib

import anyio
import httpx
import pytest

from places import database_url
from tidemill.app import open_app
from tidemill.client.transport import AppTransport
from tidemill.core.settings import Settings

pytestmark = pytest.mark.anyio
BASE = "/api/v1/projects/default"
ENDED = {"done", "failed", "cancelled"}
PROJECT = """
{{kind: model, name: echo, provider: test, reply: "{reply}"}}
---
{{kind: prompt, name: say, text: "{{{{question}}}}", model: model/echo}}
---
kind: dataset
name: judge
rows: [{{question: a, answer: yes}}, {{question: b, answer: yes}}, {{question: c, answer: yes}}]
roles: {{input: question, reference: answer}}
---
{{kind: gate, name: good, checks: [{{metric: exact_match, min: 0.2}}]}}
---
kind: pipeline
name: ship
inputs: {{endpoint: endpoint/say}}
steps:
  - {{id: release, release: prompt/say}}
  - {{id: evaluate, evaluate: {{app: "{{{{release}}}}", data: dataset/judge, scorers: exact_match}}}}
  - {{id: gate, gate: {{gate: gate/good, evaluation: "{{{{evaluate}}}}"}}}}
  - {{id: approve, approve: {{release: "{{{{release}}}}", role: reviewer, timeout: 7d}}, needs: [gate]}}
  - {{id: canary, rollout: {{endpoint: "{{{{endpoint}}}}", release: "{{{{release}}}}", share: 100%}}, needs: [approve]}}
  - {{id: promote, promote: {{endpoint: "{{{{canary}}}}", after: 2 requests | 1h}}}}
"""


class Web:
    """A caller with a token."""

    def __init__(self, app, token):
        self.http = httpx.AsyncClient(
            transport=AppTransport(app), base_url="http://127.0.0.1", headers={"authorization": f"Bearer {token}"}, timeout=60
        )

    async def __call__(self, method, path, **body):
        answer = await self.http.request(method, BASE + path if path.startswith("/") else f"/{path}", json=body or None)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def apply(self, text):
        return await self("POST", "/apply", files={"tidemill/a.yaml": text})

    async def start(self, name, **inputs):
        return (await self("POST", f"/pipelines/{name}:run", inputs=inputs))["id"]

    async def until(self, run, is_so):
        with anyio.fail_after(60):
            while True:
                found = await self("GET", f"/pipeline-runs/{run}")
                if found["status"] in ENDED or is_so(found):
                    return found
                await anyio.sleep(0.05)

    async def finished(self, run):
        return await self.until(run, lambda _: False)


@contextlib.asynccontextmanager
async def opened(settings):
    async with contextlib.AsyncExitStack() as stack:
        app = await stack.enter_async_context(open_app(settings))

        async def caller(token):
            made = Web(app, token)
            await stack.enter_async_context(made.http)
            return made

        admin = await caller((settings.data / "token").read_text().strip())
        admin.caller = caller
        yield admin


@pytest.fixture
def settings(tmp_path, monkeypatch):
    for name in ("TIDEMILL_URL", "TIDEMILL_TOKEN", "TIDEMILL_DATA", "TIDEMILL_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    return Settings(root=tmp_path, data=tmp_path / ".tidemill", database=database_url(tmp_path))


@pytest.fixture
async def web(settings, anyio_backend):
    async with opened(settings) as admin:
        yield admin


def steps_of(run):
    return {each["id"]: each for each in run["steps"]}


async def person(web, name, role):
    made = await web("POST", "/keys", role=role, person=name)
    return await web.caller(made["key"])


async def test_a_release_goes_through_measure_approval_and_canary_to_all(web):
    await web.apply(PROJECT.format(reply="no"))
    await web("POST", "/endpoints/say:deploy", app="prompt/say")
    ada, rob = await person(web, "ada", "operator"), await person(web, "rob", "reviewer")

    refused = await web.finished(await ada.start("ship"))
    steps = steps_of(refused)
    assert refused["status"] == "failed"
    assert steps["gate"]["error"].startswith("gate/good inconclusive: exact_match 0 ")
    assert (steps["approve"]["status"], steps["approve"]["note"]) == ("blocked", "it needs gate, which failed")

    await ada.apply(PROJECT.format(reply="yes"))
    run = await ada.start("ship")
    waiting = await web.until(run, lambda found: found["status"] == "waiting")
    steps = steps_of(waiting)
    release = steps["release"]["output"]["release"]
    assert (waiting["status"], steps["gate"]["status"], steps["approve"]["status"]) == ("waiting", "done", "waiting")
    assert steps["approve"]["note"] == f"an approval: tidemill approve {release} --role reviewer --reason TEXT"
    assert waiting["who"] == "person/ada"

    await rob("POST", "/approvals", release=release, role="reviewer", reason="it says yes")
    await web.until(run, lambda found: steps_of(found)["promote"]["status"] == "waiting")
    for number in range(2):
        body = {"model": "endpoint/say", "messages": [{"role": "user", "content": "well?"}], "user": f"u{number}"}
        answer = await web("POST", "v1/chat/completions", **body)
        assert answer["choices"][0]["message"]["content"] == "yes"
    ended = await web.finished(run)
    steps = steps_of(ended)
    assert ended["status"] == "done", ended["error"]
    assert steps["approve"]["output"]["who"] == "person/rob"
    assert steps["promote"]["output"]["release"] == release
    assert (await web("GET", "/endpoints/say"))["release"] == release

    lines = [each["line"] for each in (await web("GET", f"/pipeline-runs/{run}/logs?step=approve"))["items"]]
    assert lines[-1] == "approved by person/rob as reviewer: it says yes"


async def test_a_run_that_waits_for_approval_can_be_cancelled(web):
    await web.apply(PROJECT.format(reply="yes"))
    run = await web.start("ship")
    await web.until(run, lambda found: found["status"] == "waiting")
    cancelled = await web("POST", f"/pipeline-runs/{run}:cancel")
    assert cancelled["status"] == "cancelled"
    assert [steps_of(cancelled)[each]["status"] for each in ("gate", "approve", "canary")] == ["done", "cancelled", "cancelled"]


async def test_a_cancelled_run_cancels_the_job_that_it_waits_for(web):
    slow = PROJECT.format(reply="yes").replace("provider: test", "provider: test, first_token_ms: 60000")
    await web.apply(slow)
    run = await web.start("ship")
    await web.until(run, lambda found: steps_of(found)["evaluate"]["status"] == "running")
    jobs = (await web("GET", "/jobs"))["items"]
    with anyio.fail_after(30):
        while not jobs or jobs[0]["status"] == "queued":
            await anyio.sleep(0.02)
            jobs = (await web("GET", "/jobs"))["items"]
    await web("POST", f"/pipeline-runs/{run}:cancel")
    (job,) = (await web("GET", "/jobs"))["items"]
    assert (job["kind"], job["status"]) == ("evaluation", "cancelled")


async def test_parts_are_replaced_and_what_uses_them_is_a_new_version(web):
    text = (
        PROJECT.format(reply="no")
        + """
---
{kind: model, name: tuned, provider: test, reply: "tuned"}
---
kind: chain
name: talk
inputs: {question: string}
steps: [{id: say, prompt: prompt/say, with: {question: "{{question}}"}}]
output: "{{say.text}}"
---
kind: pipeline
name: swap
steps:
  - {id: swap, release: {app: chain/talk, using: {model/echo: model/tuned}}}
  - {id: again, release: {app: chain/talk, using: {model/echo: model/tuned}}, needs: [swap]}
  - {id: ask, run: "{{swap}}", with: {question: well}}
  - {id: none, release: {app: chain/talk, using: model/nothing}}
"""
    )
    await web.apply(text)
    steps = steps_of(await web.finished(await web.start("swap")))
    assert steps["swap"]["output"]["app"] == "chain/talk@v2"
    assert steps["again"]["output"] == steps["swap"]["output"]
    assert steps["ask"]["output"]["output"] == "tuned"
    assert "there is no model/nothing" in steps["none"]["error"]
    assert (await web("GET", "/artifacts/prompt/say"))["spec"]["model"] == "model/tuned"


async def test_lists_and_unknown_names(web):
    await web.apply(PROJECT.format(reply="no"))
    (listed,) = (await web("GET", "/pipelines"))["items"]
    assert (listed["name"], listed["on"], listed["last_run"]) == ("ship", {}, None)
    assert (await web("GET", "/pipeline-runs"))["items"] == []
    for method, path, said in (
        ("POST", "/pipelines/shp:run", "Did you mean pipeline/ship?"),
        ("GET", "/pipeline-runs/nothing-here", "there is no pipeline run"),
        ("GET", "/pipelines/shp", "Did you mean pipeline/ship?"),
    ):
        answer = await web.http.request(method, BASE + path, json={} if method == "POST" else None)
        assert answer.status_code == 404
        assert said in answer.text
    viewer = await person(web, "vic", "viewer")
    answer = await viewer.http.post(f"{BASE}/pipelines/ship:run", json={})
    assert answer.status_code == 403


async def test_a_server_that_is_stopped_meanwhile_goes_on_with_the_same_evaluation(settings):
    slow = PROJECT.format(reply="yes").replace("provider: test", "provider: test, first_token_ms: 1500")
    async with opened(settings) as web:
        await web.apply(slow)
        run = await web.start("ship")
        await web.until(run, lambda found: steps_of(found)["evaluate"]["status"] == "running")
        with anyio.fail_after(30):
            while not (began := (await web("GET", "/evaluations"))["items"]):  # noqa: ASYNC110  (the route is the event)
                await anyio.sleep(0.02)
    async with opened(settings) as web:
        found = await web.until(run, lambda found: steps_of(found)["gate"]["status"] == "done")
        assert [each["id"] for each in (await web("GET", "/evaluations"))["items"]] == [began[0]["id"]]
        assert (steps_of(found)["evaluate"]["attempt"], steps_of(found)["release"]["attempt"]) == (1, 1)
        lines = [each["line"] for each in (await web("GET", f"/pipeline-runs/{run}/logs?step=evaluate"))["items"]]
        assert "goes on after the server was stopped" in lines
        told = (await web("GET", "/audit"))["items"]
        assert "pipeline.run" in {each["action"] for each in told}
        await web("POST", f"/pipeline-runs/{run}:cancel")
