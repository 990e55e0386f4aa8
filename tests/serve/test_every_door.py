"""What goes wrong above or below goes the same way at every door: bounded in time, in the dialect's own words, and counted."""

from __future__ import annotations

import asyncio
import contextlib
import json

import httpx
import pytest

from serve.endless import Endless
from serve.platform import ADMIN, PROJECT, listening, serving
from serve.routed import SAID, model
from serve.test_limits import limited
from serve.test_limits import used as used_of
from tidemill.api.entry import Entry
from tidemill.core.clock import SystemClock
from tidemill.models.limits.rules import read_limits
from tidemill.store import access, projects
from tidemill.testing.misbehaviour import BEHAVIOURS
from tidemill.testing.upstreams import scripted_upstream

pytestmark = pytest.mark.anyio

ASK = [{"role": "user", "content": "when?"}]
DOORS = {
    "/v1/chat/completions": {"messages": ASK},
    "/v1/completions": {"prompt": "when?"},
    "/v1/messages": {"messages": ASK, "max_tokens": 99},
    "/v1/responses": {"input": "when?"},
}
EMBEDDINGS = {"/v1/embeddings": {"input": "when?"}}
HEAVY = {"huge_line", "zip_bomb"}
ENDS = {
    "/v1/chat/completions": "[DONE]", "/v1/completions": "[DONE]", "/v1/messages": "message_stop",
    "/v1/responses": "response.completed",
}  # fmt: skip


def error_of(path, body):
    """The error of a refusal, which has the shape of its dialect."""
    if path == "/v1/messages":
        assert body["type"] == "error"
        assert set(body["error"]) >= {"type", "message"}
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


def read_stream(path, text):
    """What a stream said, its error, and whether it ended as its dialect ends."""
    said, error, ended = "", None, False
    for line in text.split("\n"):
        data = line.removeprefix("data: ") if line.startswith("data: ") else ""
        if not data:
            continue
        if data == "[DONE]":
            ended = True
            continue
        event = json.loads(data)
        error = event.get("error") or error
        kind = event.get("type", "")
        ended = ended or kind in {"message_stop", "response.completed"}
        if kind in {"content_block_delta", "response.output_text.delta"}:
            delta = event["delta"]
            said += delta if isinstance(delta, str) else delta.get("text", "")
        for choice in event.get("choices") or ():
            said += choice.get("text") or choice.get("delta", {}).get("content") or ""
    return said, error, ended


def whole_text(path, body):
    """What a whole answer says."""
    if path == "/v1/messages":
        return "".join(each["text"] for each in body["content"])
    if path == "/v1/responses":
        return "".join(part["text"] for item in body["output"] for part in item["content"])
    choice = body["choices"][0]
    return choice["text"] if "text" in choice else choice["message"]["content"]


def check(path, behaviour, stream, answer):
    """What came of one behaviour is an answer or an error, and says which."""
    fault = BEHAVIOURS[behaviour].fault
    if answer.status_code != 200:
        error = error_of(path, answer.json())
        assert fault != "none", (behaviour, error)
        assert answer.status_code in {400, 429, 502, 503, 504, 529}, (behaviour, answer.status_code, error)
        assert error.get("code") != "internal", "nothing that others do is a fault of ours"
        assert len(error["message"]) > 10
        return
    if not stream:
        assert fault == "none" or (fault == "within" and behaviour != "never_ends"), behaviour
        assert whole_text(path, answer.json()) == SAID
        return
    said, error, ended = read_stream(path, answer.text)
    if fault == "none":
        assert (said, error, ended) == (SAID, None, True), behaviour
    else:
        assert fault == "within", behaviour
        assert said != SAID, behaviour
        assert error, (behaviour, answer.text[-300:])


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", DOORS)
async def test_every_bad_upstream_is_told_of_and_none_is_waited_for(tmp_path, path, stream):
    """Straight to the model, with no route that could ask another."""
    async with contextlib.AsyncExitStack() as stack:
        upstreams = {name: await stack.enter_async_context(scripted_upstream(name)) for name in BEHAVIOURS}
        platform = await stack.enter_async_context(serving(tmp_path))
        await platform.apply("".join(model(name.replace("_", "-"), each, timeout=0.6) for name, each in upstreams.items()))
        http = await platform.http()
        room = asyncio.Semaphore(16)

        async def ask(name):
            body = {"model": f"model/{name.replace('_', '-')}", "stream": stream, **DOORS[path]}
            patience = {} if BEHAVIOURS[name].fault == "none" else {"x-tidemill-timeout": "2"}
            async with room:
                return await http.post(path, json=body, headers=patience)

        for names in ([each for each in BEHAVIOURS if each not in HEAVY], [*HEAVY]):  # those keep the test's own loop busy
            async with asyncio.timeout(60):
                answers = await asyncio.gather(*map(ask, names))
            for name, answer in zip(names, answers, strict=True):
                check(path, name, stream, answer)
        assert len(platform.roots) == len(BEHAVIOURS)


async def test_every_bad_upstream_of_vectors_is_told_of(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        bad = [name for name, each in BEHAVIOURS.items() if each.fault == "before" and name not in HEAVY]
        upstreams = {name: await stack.enter_async_context(scripted_upstream(name)) for name in bad}
        platform = await stack.enter_async_context(serving(tmp_path))
        for behaviour, each in upstreams.items():
            name = behaviour.replace("_", "-")
            embedder = f"{{kind: embedder, name: {name}, provider: openai, model: m, connection: {name}}}"
            await platform.apply(model(name, each, timeout=1) + embedder)
        http = await platform.http()

        async def ask(name, kind):
            body = {"model": f"{kind}/{name.replace('_', '-')}", "input": "when?"}
            return await http.post("/v1/embeddings", json=body, headers={"x-tidemill-timeout": "2"})

        for kind in ("embedder", "model"):
            async with asyncio.timeout(60):
                answers = await asyncio.gather(*(ask(name, kind) for name in bad))
            for name, answer in zip(bad, answers, strict=True):
                assert answer.status_code != 200, (name, kind, answer.text)
                error = error_of("/v1/embeddings", answer.json())
                assert answer.status_code in {400, 429, 502, 503, 504}, (name, kind, answer.text)
                assert error["code"] != "internal", (name, kind)


@pytest.mark.parametrize(
    ("path", "stream"),
    [*((path, stream) for path in DOORS for stream in (False, True)), *((path, False) for path in EMBEDDINGS)],
)
async def test_who_leaves_stops_the_upstream_and_what_was_used_is_counted(tmp_path, path, stream):
    endless = Endless()
    async with listening(endless) as url, limited(tmp_path) as (platform, limits):
        await platform.apply(model("slow", f"{url}/v1", timeout=30))
        spec = read_limits({"tpm": 100_000})
        now = platform.clock.now_ns()
        key, secret = platform.database.write_sync(lambda db: access.create_key(db, PROJECT, now_ns=now, limits=spec))
        body = {"model": "model/slow", "stream": stream, **{**DOORS, **EMBEDDINGS}[path]}
        headers = {"authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=30) as http, asyncio.timeout(20):
            if stream:
                async with http.stream("POST", path, json=body) as answer:
                    async for text in answer.aiter_text():
                        if "drip" in text:
                            break
            else:
                asking = asyncio.create_task(http.post(path, json=body))
                await endless.began.wait()
                asking.cancel()
                with contextlib.suppress(asyncio.CancelledError, httpx.HTTPError):
                    await asking
            await endless.gone.wait()
            while not (platform.spans and limits.ledger._pending):  # noqa: ASYNC110  (until it is noted)
                await asyncio.sleep(0.01)
        await limits.ledger.flush()
        counted = used_of(platform, key)
        assert counted.requests == 1
        assert counted.input_tokens > 0
        assert (counted.output_tokens > 0) is stream
        assert platform.spans[0].status == "error"


async def test_keys_that_do_not_hold_are_refused_in_the_dialects_words(tmp_path):
    app = "{kind: model, name: m, provider: test, reply: yes}\n---\n{kind: model, name: other, provider: test}"
    async with limited(tmp_path) as (platform, _):
        await platform.apply(app)
        now = SystemClock().now_ns()
        entry = Entry(database=platform.database, clock=platform.clock, admin_token_hash=access.hash_token(ADMIN))
        platform.plane._authenticate = lambda headers: entry.identify(headers, method="POST")

        def make(project=PROJECT, *, at=now, **more):
            return platform.database.write_sync(lambda db: access.create_key(db, project, now_ns=at, **more))

        platform.database.write_sync(lambda db: projects.ensure_project(db, "elsewhere", now_ns=now))
        revoked = make()
        platform.database.write_sync(lambda db: access.revoke_key(db, PROJECT, revoked[0], now_ns=now))
        over = make(limits=read_limits({"rpm": 1}))[1]
        cases = {
            "none": ("x", 401),
            "noise": ("\xff\xfe", 401),
            "wrong": ("tm_0_wrongwrongwrongwrong", 401),
            "wrong secret": (make()[1][:-4] + "AAAA", 401),
            "revoked": (revoked[1], 401),
            "expired": (make(at=now - 2 * 10**9, expires_ns=now - 10**9)[1], 401),
            "another project's": (make("elsewhere")[1], 404),
            "for another model": (make(models=["model/other"])[1], 403),
        }
        async with httpx.AsyncClient(base_url=platform.url) as http:
            for path, body in {**DOORS, **EMBEDDINGS}.items():
                for name, (key, status) in cases.items():
                    header = {"authorization": b"Bearer " + key.encode("latin-1")}
                    answer = await http.post(path, json={"model": "model/m", **body}, headers=header)
                    assert answer.status_code == status, (path, name, answer.text)
                    said = error_of(path, answer.json())
                    kinds = {401: "authentication_error", 403: "permission_error"}
                    assert said["type"] in {kinds.get(status), "not_found_error", "invalid_request_error"}
                    assert not key or key not in answer.text
            for path, body in DOORS.items():
                header = {"authorization": f"Bearer {over}"}
                await http.post(path, json={"model": "model/m", **body}, headers=header)
                last = await http.post(path, json={"model": "model/m", **body}, headers=header)
                assert last.status_code == 429, path
                assert error_of(path, last.json())["type"] == "rate_limit_error"
                assert int(last.headers["retry-after"]) >= 1
        await entry.stop()
