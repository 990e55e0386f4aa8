from __future__ import annotations

import subprocess
import sys

import pytest
from msgspec.structs import replace

from models.calls import ask, version
from models.conftest import QUICK
from models.upstream import answering, completion, serve_upstream
from tidemill.core.chat import ChatRequest, Connection
from tidemill.core.clock import FixedClock
from tidemill.core.errors import Conflict, Invalid, MissingExtra, RateLimited, StorageFull, Unavailable
from tidemill.core.parts import Image, Message
from tidemill.models import Models
from tidemill.models.caller import Caller
from tidemill.models.providers.test import TestChat, TestEmbed
from tidemill.models.retry import RetryBudget, RetryPolicy, can_retry, retrying
from tidemill.testing.models import check_chat_provider, check_embed_provider

ECHO = version(provider="test")


@pytest.mark.anyio
async def test_a_result_is_there_only_after_the_end(models, traced):
    stream = models.stream(ECHO, ask("one two"), caller=Caller.internal("p", "local"), span=traced.span())
    await anext(stream)
    with pytest.raises(Conflict, match="has not ended"):
        _ = stream.result
    assert [delta.finish_reason async for delta in stream][-1] == "stop"
    assert stream.result.response.message.text == "one two"
    await stream.aclose()


@pytest.mark.anyio
async def test_a_request_wins_over_the_model_and_its_name_is_not_read(call):
    model = version(provider="test", reply="a b c d", params={"max_tokens": 1, "logprobs": True})
    response = (await call(model, replace(ask("x", params={"max_tokens": 3}), model="other"))).response
    assert (response.message.text, response.model, len(response.logprobs)) == ("a b c", "m", 3)


@pytest.mark.anyio
async def test_parts_held_by_digest_are_fetched(traced):
    async def connection_for(project, name, environment):
        assert (project, name, environment) == ("p", "openai", "staging")
        return server.connection()

    async def read_blob(project: str, digest: str) -> bytes:
        return f"{project}:{digest}".encode()

    request = ChatRequest(model="", messages=(Message(role="user", parts=(Image(media_type="image/png", blob="sha256:ab"),)),))
    gpt = version(provider="openai", model="m")
    async with serve_upstream() as server:
        server.behave = answering((200, completion(), {}))
        models = Models(connection_for=connection_for, read_blob=read_blob)
        await models.chat(gpt, request, caller=Caller.internal("p", "staging"), span=traced.span())
        await models.close()
        without = Models(connection_for=connection_for)
        with pytest.raises(Invalid, match="held by digest"):
            await without.chat(gpt, request, caller=Caller.internal("p", "staging"), span=traced.span())
        await without.close()
    image = server.bodies[0]["messages"][0]["content"][0]["image_url"]["url"]
    assert image == "data:image/png;base64,cDpzaGEyNTY6YWI="


@pytest.mark.anyio
async def test_no_attempt_begins_after_the_deadline():
    clock = FixedClock()
    attempts = 0

    async def work():
        nonlocal attempts
        attempts += 1
        clock.advance(seconds=40)
        raise Unavailable("down")

    with pytest.raises(Unavailable):
        await retrying(work, policy=QUICK, budget=RetryBudget(), clock=clock)
    assert attempts == 1


def test_waits_double_up_to_the_longest_and_retry_after_takes_their_place():
    policy = RetryPolicy(first_delay=1, longest_delay=5, jitter=lambda: 0.0)
    assert [policy.delay(attempt, Unavailable("x")) for attempt in (1, 2, 3, 4)] == [1, 2, 4, 5]
    assert policy.delay(1, RateLimited("x", retry_after=7)) == 7
    assert RetryPolicy(first_delay=1, jitter=lambda: 1.0).delay(1, Unavailable("x")) == 0.5


def test_what_will_not_mend_by_itself_is_not_tried_again():
    assert can_retry(Unavailable("x"))
    assert can_retry(RateLimited("x"))
    assert not can_retry(StorageFull("x"))
    assert not can_retry(Invalid("x"))
    assert not can_retry(MissingExtra("x", needed_for="y"))


def test_importing_models_loads_nothing_heavy():
    heavy = ("aiohttp", "openai", "anthropic", "numpy", "onnxruntime", "xllamacpp", "pydantic", "genai_prices", "sqlalchemy")
    code = f"import sys, tidemill.models; print([each for each in {heavy!r} if each in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_test_providers_keep_the_contract():
    connection = Connection(name="test", provider="test")
    check_chat_provider(TestChat(), connection=connection, model="m")
    check_embed_provider(TestEmbed(), connection=connection, model="m")
