"""What is computed once is not computed again, and what may have changed is."""

import asyncio

import pytest

from tidemill.core.clock import SystemClock
from tidemill.core.parts import Message
from tidemill.flows.reuse import StepCache, step_key
from tidemill.store.cache import CachedStep

pytestmark = pytest.mark.anyio


async def test_another_fingerprint_starts_another_epoch_and_a_restart_remembers(bench):
    cache = StepCache(bench.database, clock=SystemClock())
    assert await cache.epoch("default", "m") == 0
    for fingerprint, epoch in [("a", 0), ("a", 0), ("b", 1), (None, 1), ("b", 1)]:
        await cache.note_fingerprint("default", "m", fingerprint)
        assert await cache.epoch("default", "m") == epoch
    assert await StepCache(bench.database, clock=SystemClock()).epoch("default", "m") == 1


async def test_many_at_once_share_few_transactions(bench):
    cache = StepCache(bench.database, clock=SystemClock())
    entries = {str(n): CachedStep(output=n, created_ns=1) for n in range(200)}
    await asyncio.gather(*(cache.put("default", {key: step}) for key, step in entries.items()))
    found = await asyncio.gather(*(cache.get("default", str(n)) for n in range(201)))
    assert [each and each.output for each in found] == [*range(200), None]
    assert await cache.get("other", "1") is None


def test_a_key_depends_on_types_and_not_on_the_order_of_names():
    assert step_key("d", {"a": 1, "b": 2}) == step_key("d", {"b": 2, "a": 1})
    assert len({step_key("d", {"a": each}) for each in (1, "1", [1], None, True)}) == 5
    assert step_key("d", {}, variation=[0]) != step_key("d", {}, variation=[1])


async def test_only_functions_that_declare_no_effects_are_reused(bench, code):
    code("count.py", "calls = []\n\ndef count(x: int) -> int:\n    calls.append(x)\n    return len(calls)\n")
    steps = [{"id": "n", "function": "function/count", "with": {"x": 1}}]
    bench.project.add("function/count", call="count:count")
    bench.project.add("chain/x", inputs={}, steps=steps)
    assert [(await bench.run("chain/x")).output for _ in range(2)] == [1, 2]
    bench.project.add("function/count", call="count:count", effects="none")
    bench.project.add("chain/x", inputs={}, steps=steps)
    assert [(await bench.run("chain/x")).output for _ in range(2)] == [3, 3]


async def test_what_finished_before_a_failure_is_kept(bench, code):
    code(
        "flaky.py",
        "tries = []\n\ndef fail():\n    tries.append(1)\n    if len(tries) < 2:\n        raise OSError('no')\n    return 1\n",
    )
    add = bench.project.add
    add("function/fail", call="flaky:fail")
    add("model/echo", provider="test")
    add("prompt/say", text="hi", model="model/echo")
    steps = [
        {"id": "say", "prompt": "prompt/say"},
        {"id": "then", "function": "function/fail", "when": "say.text != ''"},
    ]
    add("chain/x", inputs={}, steps=steps)
    with pytest.raises(Exception, match="raised OSError: no"):
        await bench.run("chain/x")
    result = await bench.run("chain/x")
    assert (result.output, result.calls.model, result.reused.model) == (1, 0, 1)


async def test_a_conversation_reaches_a_prompt_step(bench):
    add = bench.project.add
    add("model/echo", provider="test")
    add("prompt/say", text="{{q}}", model="model/echo")
    step = {"id": "say", "prompt": "prompt/say", "history": "{{before}}", "with": {"q": "{{q}}"}}
    add("chain/talk", inputs={"q": "string", "before": "messages"}, steps=[step])
    turns = (Message.of("user", "one"), Message.of("assistant", "two"), Message.of("user", "three"))
    await bench.run("chain/talk", {"q": "three"}, messages=turns)
    assert [each["content"] for each in bench.named("say")[0].input["messages"]] == ["one", "two", "three"]
    assert (await bench.run("chain/talk", {"q": "alone", "before": []})).output == "alone"
