"""Chains at work, with the deterministic model and a real database."""

import asyncio

import pytest

from tidemill.core.errors import Invalid, Unavailable
from tidemill.core.parts import Message

pytestmark = pytest.mark.anyio


def rag(bench):
    files = bench.project.files.files
    files["docs/with.md"] = b"# With\n\nA context manager is an object that the with statement enters and leaves.\n"
    files["docs/try.md"] = b"# Try\n\nThe try statement handles exceptions.\n"
    add = bench.project.add
    add("embedder/words", provider="test")
    add("index/handbook", source="docs", embed="embedder/words")
    add("prompt/answer", text="Context:\n{{context}}\n\nQ: {{question}}", variables={"question": "string", "context": "string"})
    add("model/echo", provider="test", reply="I read: {{input}}")
    return add(
        "chain/handbook",
        inputs={"question": "string"},
        steps=[
            {"id": "find", "retrieve": {"index": "index/handbook", "query": "{{question}}", "k": 1, "mode": "hybrid"}},
            {"id": "answer", "prompt": "prompt/answer", "model": "model/echo",
             "with": {"question": "{{question}}", "context": "{{find}}"}},
        ],
        output="{{answer.text}}",
    )  # fmt: skip


async def test_retrieve_then_answer_with_spans_and_counters(bench):
    rag(bench)
    result = await bench.run("chain/handbook", {"question": "what is a context manager?"})
    assert "[1] With\n# With\n\nA context manager is an object" in result.output
    assert "Q: what is a context manager?" in result.output
    assert [each["document"] for each in result.steps["find"].output] == ["with.md"]
    assert set(result.steps["find"].output[0]) == {"id", "document", "text", "score", "headings", "start", "end"}
    assert (result.calls.model, result.calls.retrieve, result.calls.embed) == (1, 1, 1)
    assert result.usage.output_tokens > 0
    assert result.cost == 0.0
    (find,), (answer,), (root,) = bench.named("find"), bench.named("answer"), bench.named("test")
    assert (find.kind, find.step, find.parent_id) == ("retriever", "find", root.span_id)
    assert (answer.kind, answer.step, answer.status) == ("llm", "answer", "ok")
    assert find.input == {"query": "what is a context manager?", "k": 1}
    assert answer.input["messages"][0]["content"].startswith("Context:\n[1] With")
    assert answer.output["text"] == result.output


async def test_nothing_is_done_twice_and_a_changed_prompt_reruns_only_the_prompt(bench):
    rag(bench)
    question = {"question": "what is a context manager?"}
    first = await bench.run("chain/handbook", question)
    again = await bench.run("chain/handbook", question)
    assert again.output == first.output
    assert (again.calls.model, again.calls.retrieve, again.calls.embed) == (0, 0, 0)
    assert (again.reused.model, again.reused.retrieve, again.reused.embed) == (1, 1, 1)
    assert again.steps["answer"].reused
    assert again.steps["answer"].latency_ms == first.steps["answer"].latency_ms
    assert bench.named("answer")[-1].attributes["tidemill.cached"] is True
    bench.project.add("prompt/answer", text="{{question}} {{context}}", variables={"question": "string", "context": "string"})
    spec = bench.project.versions["chain/handbook"].spec
    bench.project.add("chain/handbook", inputs=spec["inputs"], steps=spec["steps"], output=spec["output"])
    changed = await bench.run("chain/handbook", question)
    assert (changed.calls.model, changed.calls.retrieve) == (1, 0)
    assert (await bench.run("chain/handbook", question, replicate=1)).calls.model == 1
    assert (await bench.run("chain/handbook", question, reuse=False)).calls.retrieve == 1


async def test_targets_run_only_what_they_need(bench):
    rag(bench)
    result = await bench.run("chain/handbook", {"question": "try"}, targets=frozenset({"find"}))
    assert set(result.steps) == {"find"}
    assert result.output is None
    assert result.calls.model == 0


async def test_recall_answers_many_inputs_from_the_cache(bench):
    rag(bench)
    asked = [{"question": f"what is number {each}?"} for each in range(3)]
    results = [await bench.run("chain/handbook", each) for each in asked[:2]]
    bundle = bench.project.bundle("chain/handbook")
    known = await bench.runner.recall(bundle, [*asked, {"wrong": 1}], context=bench.context())
    assert [each and each.output for each in known] == [results[0].output, results[1].output, None, None]
    assert known[0].reused.model == 1


async def test_the_last_step_streams(bench):
    rag(bench)
    async with bench.stream("chain/handbook", {"question": "try"}) as stream:
        pieces = [each async for each in stream]
    texts = [each.text for each in pieces if each.text]
    assert len(texts) > 5
    assert "".join(texts) == stream.result.output
    assert pieces[-1].finish_reason == "stop"
    assert pieces[-1].usage == stream.result.usage
    async with bench.stream("chain/handbook", {"question": "try"}) as again:
        assert "".join([each.text async for each in again]) == stream.result.output
    assert again.result.calls.model == 0


async def test_leaving_a_stream_stops_the_model(bench):
    bench.project.add("model/slow", provider="test", reply="a b c d e f g h i j k", first_token_ms=1, tokens_per_second=20)
    stream = bench.stream("model/slow", {"input": "hello"})
    async with stream:
        assert (await anext(stream)).text
    (answer,) = bench.named("answer")
    assert answer.status == "error"
    assert answer.error == "cancelled"
    assert len(answer.output["content"].split()) < 11


async def test_independent_steps_run_side_by_side(bench, code):
    code("meet.py", "import asyncio\nbarrier = asyncio.Barrier(2)\n\nasync def wait(name: str) -> str:\n"
                    "    async with asyncio.timeout(5):\n        await barrier.wait()\n    return name\n")  # fmt: skip
    bench.project.add("function/wait", call="meet:wait")
    bench.project.add(
        "chain/two",
        inputs={},
        steps=[
            {"id": "a", "function": "function/wait", "with": {"name": "a"}},
            {"id": "b", "function": "function/wait", "with": {"name": "b"}},
            {"id": "c", "function": "function/wait", "with": {"name": "{{a}}{{b}}"}, "when": "false"},
        ],
        output={"both": "{{a}}+{{b}}", "c": "{{c}}"},
    )
    result = await bench.run("chain/two")
    assert result.output == {"both": "a+b", "c": None}
    assert result.steps["c"].skipped
    assert result.calls.tool == 2


async def test_a_branch_takes_the_first_that_holds(bench):
    add = bench.project.add
    add("prompt/say", text="{{x}}")
    add("model/echo", provider="test")
    say = {"prompt": "prompt/say", "model": "model/echo"}
    add(
        "chain/route",
        inputs={"n": "integer"},
        steps=[
            {"id": "route", "branch": [
                {"when": "n > 10", "steps": [{"id": "big", **say, "with": {"x": "big {{n}}"}}]},
                {"when": "n > 5", "steps": [{"id": "pre", **say, "with": {"x": "{{n}}"}},
                                            {"id": "middle", **say, "with": {"x": "middle {{pre.text}}"}}]},
                {"steps": [{"id": "small", **say, "with": {"x": "small"}}]},
            ]},
        ],
        output="{{route.text}}",
    )  # fmt: skip
    assert [(await bench.run("chain/route", {"n": n})).output for n in (11, 6, 1)] == ["big 11", "middle 6", "small"]
    async with bench.stream("chain/route", {"n": 6}, reuse=False) as stream:
        assert [each.text async for each in stream if each.text] == ["middle", " 6"]


async def test_a_chain_in_a_chain(bench):
    rag(bench)
    bench.project.add(
        "chain/outer",
        inputs={"q": "string"},
        steps=[{"id": "inner", "chain": "chain/handbook", "with": {"question": "{{q}}"}}],
        output="{{inner}}",
    )
    result = await bench.run("chain/outer", {"q": "try"})
    assert set(result.steps) == {"inner", "inner.find", "inner.answer"}
    assert result.calls.model == 1
    assert "Q: try" in result.output
    async with bench.stream("chain/outer", {"q": "try"}, reuse=False) as stream:
        assert len([each async for each in stream if each.text]) > 5


async def test_retries_timeout_and_fallback(bench, code):
    code("moody.py", "import asyncio\nseen = []\n\nasync def third(x: int) -> int:\n    seen.append(x)\n"
                     "    if len(seen) < 3:\n        raise RuntimeError('not yet')\n    return len(seen)\n\n"
                     "async def never() -> int:\n    await asyncio.Event().wait()\n")  # fmt: skip
    add = bench.project.add
    add("function/third", call="moody:third")
    add("function/never", call="moody:never")
    add("prompt/say", text="{{x}}")
    add("model/bad", provider="test", script=[{"when": ".", "status": 400}])
    add("model/good", provider="test", reply="fine")
    add("chain/again", inputs={}, steps=[{"id": "go", "function": "function/third", "with": {"x": 1}, "retries": 2}])
    assert (await bench.run("chain/again")).output == 3
    add("chain/late", inputs={}, steps=[{"id": "go", "function": "function/never", "timeout": 0.01}])
    with pytest.raises(Unavailable, match='step "go" took longer than'):
        await bench.run("chain/late")
    add("chain/late", inputs={}, steps=[
        {"id": "go", "function": "function/never", "timeout": 0.01, "fallback": {"value": {"late": True}}}])  # fmt: skip
    assert (await bench.run("chain/late")).output == {"late": True}
    add("chain/other", inputs={}, steps=[
        {"id": "go", "prompt": "prompt/say", "model": "model/bad", "with": {"x": "hi"}, "fallback": "model/good"}])  # fmt: skip
    result = await bench.run("chain/other")
    assert result.output == "fine"
    assert bench.named("go")[-1].attributes["tidemill.fallback"] == 1


async def test_wrong_inputs_are_named(bench):
    rag(bench)
    for inputs, part in [
        ({}, "needs the input 'question'"),
        ({"question": 3}, "'question' needs text, not a whole number"),
        ({"question": "x", "qestion": "y"}, "no input 'qestion'"),
    ]:
        with pytest.raises(Invalid, match=part) as caught:
            await bench.run("chain/handbook", inputs)
        assert "chain/handbook" in caught.value.message or caught.value.where.startswith("inputs.")


async def test_a_failing_step_says_where_and_its_siblings_stop(bench, code):
    code(
        "both.py",
        "import asyncio\n\nasync def fail():\n    raise ValueError('bad day')\n\n"
        "async def wait():\n    await asyncio.Event().wait()\n",
    )
    add = bench.project.add
    add("function/fail", call="both:fail")
    add("function/wait", call="both:wait")
    add("chain/x", inputs={}, steps=[{"id": "a", "function": "function/wait"}, {"id": "b", "function": "function/fail"}])
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable, match="raised ValueError: bad day") as caught:
            await bench.run("chain/x")
    assert caught.value.where == 'chain/x step "b"'
    assert bench.named("a")[0].error == "cancelled"


async def test_prompts_and_models_run_by_themselves(bench):
    add = bench.project.add
    add("model/echo", provider="test", reply="{{input}}!")
    add(
        "prompt/say",
        messages=[{"role": "system", "content": "S"}, {"role": "user", "content": "say {{x}}"}],
        model="model/echo",
    )
    assert (await bench.run("prompt/say", {"x": "<b>"})).output == "say <b>!"
    assert (await bench.run("model/echo", {"input": "hi"})).output == "hi!"
    turns = (Message.of("user", "one"), Message.of("assistant", "two"), Message.of("user", "three"))
    assert (await bench.run("model/echo", {}, messages=turns)).output == "three!"
    assert (await bench.run("prompt/say", {"x": "three"}, messages=turns)).output == "say three!"
    sent = [each["content"] for each in bench.named("answer")[-1].input["messages"]]
    assert sent == ["S", "one", "two", "say three"]


async def test_an_answer_must_satisfy_its_schema(bench):
    add = bench.project.add
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    add("model/good", provider="test", reply='{"n": 3}')
    add("model/bad", provider="test", reply='{"n": "x"}')
    add("prompt/ask", text="?", output_schema=schema, model="model/good")
    add("chain/x", inputs={}, steps=[{"id": "a", "prompt": "prompt/ask"}], output="{{a.data.n}}")
    assert (await bench.run("chain/x")).output == 3
    add("chain/x", inputs={}, steps=[{"id": "a", "prompt": "prompt/ask", "model": "model/bad"}], output="{{a.data.n}}")
    with pytest.raises(Unavailable, match="does not satisfy its output schema"):
        await bench.run("chain/x")
