"""The data plane, asked by the stock `openai` client: plain, streaming, and while what is deployed changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from e2e.processes import Server
from e2e.specs import answering

ASKED = [{"role": "user", "content": "why?"}]


@pytest.fixture(scope="module", autouse=True)
def deployed(server: Server) -> None:
    slow = 'reply: "first answer of several words"\ntokens_per_second: 100'
    server.shell.write(one=answering("one", slow), two=answering("two", 'reply: "second {{input}}"'))
    server.shell.json("apply")
    server.post("/endpoints/live:deploy", {"app": "chain/one"})


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.token, max_retries=0, timeout=60) as made:
        yield made


def test_a_plain_answer(client: openai.OpenAI, server: Server) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="endpoint/live", messages=ASKED, extra_headers={"x-tidemill-user": "ada", "x-tidemill-session": "s1"}
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == "first answer of several words"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (1, 5)
    assert raw.headers["x-tidemill-release"] == server.get("/endpoints/live")["release"]
    assert float(raw.headers["x-tidemill-cost"]) == 0.0
    assert raw.headers["x-tidemill-cache"] in {"hit", "miss", "off"}
    trace = server.shell.json("traces", "show", raw.headers["x-tidemill-trace"])
    assert (trace["user"], trace["session"], trace["status"]) == ("ada", "s1", "ok")
    assert trace["release"] == raw.headers["x-tidemill-release"]


def test_a_stream_comes_in_pieces(client: openai.OpenAI) -> None:
    options: openai.types.chat.ChatCompletionStreamOptionsParam = {"include_usage": True}
    pieces, usage = [], None
    with client.chat.completions.create(model="live", messages=ASKED, stream=True, stream_options=options) as stream:
        for chunk in stream:
            usage = chunk.usage or usage
            if chunk.choices and chunk.choices[0].delta.content:
                pieces.append(chunk.choices[0].delta.content)
    assert "".join(pieces) == "first answer of several words"
    assert len(pieces) == 5
    assert usage is not None
    assert usage.completion_tokens == 5


def test_inputs_can_be_named(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chain/two", messages=ASKED, extra_body={"metadata": {"inputs": {"question": "named"}}}
    )
    assert answer.choices[0].message.content == "second named"


def test_every_model_name_is_listed_and_answers(client: openai.OpenAI) -> None:
    names = {each.id for each in client.models.list()}
    assert {"endpoint/live", "chain/one", "chain/two", "model/one"} <= names
    for name in ("chain/two@v1", "model/two"):
        assert client.chat.completions.create(model=name, messages=ASKED).choices[0].message.content == "second why?"


def test_errors_are_the_clients_own(client: openai.OpenAI, server: Server) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="endpoint/nope", messages=ASKED)
    assert missing.value.param == "model"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="endpoint/live", messages=[])
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        stranger.chat.completions.create(model="endpoint/live", messages=ASKED)
    assert "wrong" not in str(refused.value).removeprefix("Error code: 401")


def test_a_deploy_under_load_fails_nothing(client: openai.OpenAI, server: Server) -> None:
    """Requests go on while the endpoint is swapped again and again: each is answered, wholly by one release or the other."""
    stop, answers = threading.Event(), list[tuple[str, str]]()
    answered = threading.Semaphore(0)

    def ask() -> None:
        while not stop.is_set():
            raw = client.chat.completions.with_raw_response.create(model="endpoint/live", messages=ASKED)
            answers.append((raw.headers["x-tidemill-release"], str(raw.parse().choices[0].message.content)))
            answered.release()

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask) for _ in range(8)]
        try:
            releases = {"first answer of several words": server.get("/endpoints/live")["release"]}
            for app in ("chain/two", "chain/one") * 3:
                for _ in range(8):
                    assert answered.acquire(timeout=30)
                release = server.post("/endpoints/live:deploy", {"app": app})["release"]
                releases["second why?" if app == "chain/two" else "first answer of several words"] = release
        finally:
            stop.set()
        for each in asking:
            each.result(60)  # raises what failed
    assert {(releases[text], text) for text in releases} == set(answers)
    assert (
        client.chat.completions.create(model="live", messages=ASKED).choices[0].message.content
        == "first answer of several words"
    )
    before = server.get("/endpoints/live")["previous"]
    assert server.shell.json("rollback", "endpoint/live")["release"] == before
    assert client.chat.completions.create(model="live", messages=ASKED).choices[0].message.content == "second why?"
    server.shell.json("rollback", "endpoint/live")


def test_a_stream_ends_on_the_release_that_it_began_with(client: openai.OpenAI, server: Server) -> None:
    server.post("/endpoints/swapped:deploy", {"app": "chain/one"})
    with client.chat.completions.create(model="swapped", messages=ASKED, stream=True) as stream:
        pieces = [next(each for each in stream if each.choices and each.choices[0].delta.content)]
        server.post("/endpoints/swapped:deploy", {"app": "chain/two"})
        pieces += [each for each in stream if each.choices]
    assert "".join(each.choices[0].delta.content or "" for each in pieces) == "first answer of several words"
    assert client.chat.completions.create(model="swapped", messages=ASKED).choices[0].message.content == "second why?"
