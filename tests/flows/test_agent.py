"""The agent loop: tools are called, their mistakes go back to the model, limits hold."""

import pytest

from tidemill.core.errors import Invalid

pytestmark = pytest.mark.anyio

SHOP = '''
def stock(item: str, *, warehouse: str = "main") -> dict:
    """How many of an item there are.

    Args:
        item: the item's name
    """
    return {"item": item, "count": 7, "warehouse": warehouse}


async def broken(x: int) -> int:
    raise ValueError("no power")
'''


def calling(*calls, then="done"):
    rows = [{"when": "stock", "tool_calls": [{"name": name, "arguments": arguments}]} for name, arguments in calls]
    return [*rows, {"reply": then}]


def shop(bench, code, script, **agent):
    code("shop.py", SHOP)
    add = bench.project.add
    add("tool/stock", python="shop:stock", effects="none")
    add("tool/broken", python="shop:broken")
    add("model/shop", provider="test", script=script)
    add("prompt/shop", messages=[{"role": "system", "content": "You sell."}])
    return add("agent/shop", model="model/shop", prompt="prompt/shop", **{"tools": ["tool/stock", "tool/broken"], **agent})


async def test_a_tool_is_called_and_its_answer_goes_back(bench, code):
    shop(bench, code, calling(("stock", {"item": "lamp"}), then="There are 7."))
    result = await bench.run("agent/shop", {"input": "lamps in stock?"})
    assert result.output == "There are 7."
    answer = result.steps["answer"].output
    assert answer["tool_calls"][0]["output"] == {"item": "lamp", "count": 7, "warehouse": "main"}
    assert (answer["steps"], answer["stopped"]) == (2, None)
    assert (result.calls.model, result.calls.tool) == (2, 1)
    (agent,), models, (tool,) = bench.named("answer"), bench.named("model"), bench.named("stock")
    assert (agent.kind, tool.kind, [each.kind for each in models]) == ("agent", "tool", ["llm", "llm"])
    assert tool.parent_id == agent.span_id
    assert tool.input == {"item": "lamp"}
    assert [each["role"] for each in models[1].input["messages"]] == ["system", "user", "assistant", "tool"]


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (("stok", {"item": "lamp"}), "there is no tool 'stok'. Did you mean stock?"),
        (("stock", {"itm": "lamp"}), "tool/stock: "),
        (("stock", "{broken"), "the arguments of stock is not valid JSON"),
        (("stock", "[1]"), "the arguments of stock are not an object"),
        (("broken", {"x": 1}), "tool/broken raised ValueError: no power"),
    ],
)
async def test_what_goes_wrong_is_told_to_the_model(bench, code, call, part):
    shop(bench, code, calling(call, then="sorry"))
    result = await bench.run("agent/shop", {"input": "stock?"})
    assert result.output == "sorry"
    assert part in result.steps["answer"].output["tool_calls"][0]["error"]
    assert bench.named(call[0])[0].status == "error"
    told = bench.named("model")[1].input["messages"][-1]["content"][0]
    assert part in told["content"]
    assert told["is_error"] is True


async def test_limits_hold(bench, code):
    script = [{"tool_calls": [{"name": "stock", "arguments": {"item": str(n)}}]} for n in range(9)]
    shop(bench, code, script, limits={"steps": 3})
    result = await bench.run("agent/shop", {"input": "stock?"})
    assert result.steps["answer"].output["stopped"] == "steps"
    assert (result.calls.model, result.calls.tool) == (3, 2)
    assert result.finish_reason == "length"
    shop(bench, code, script, limits={"tokens": 1})
    result = await bench.run("agent/shop", {"input": "stock?"})
    assert result.steps["answer"].output["stopped"] == "tokens"
    assert result.calls.model == 1


async def test_an_agent_whose_tools_have_no_effects_is_reused(bench, code):
    shop(bench, code, calling(("stock", {"item": "lamp"})), tools=["tool/stock"])
    first = await bench.run("agent/shop", {"input": "stock?"})
    again = await bench.run("agent/shop", {"input": "stock?"})
    assert (again.output, again.calls.model, again.reused.model, again.reused.tool) == (first.output, 0, 2, 1)
    shop(bench, code, calling(("stock", {"item": "lamp"})))
    await bench.run("agent/shop", {"input": "stock?"})
    assert (await bench.run("agent/shop", {"input": "stock?"})).calls.tool == 1


async def test_an_agent_streams_and_is_a_step_of_a_chain(bench, code):
    shop(bench, code, calling(("stock", {"item": "lamp"}), then="There are seven lamps."), tools=None,
         tasks={"look": {"tools": ["tool/stock"]}, "idle": {"tools": []}})  # fmt: skip
    step = {"id": "ask", "agent": "agent/shop", "task": "look", "with": {"input": "{{q}}"}}
    bench.project.add("chain/x", inputs={"q": "string"}, steps=[step])
    async with bench.stream("chain/x", {"q": "stock?"}) as stream:
        assert [each.text async for each in stream if each.text] == ["There", " are", " seven", " lamps."]
    assert stream.result.calls.tool == 1
    with pytest.raises(Invalid, match="no task 'lok'") as caught:
        bench.project.add("chain/x", inputs={"q": "string"}, steps=[{**step, "task": "lok"}])
    assert caught.value.problems[0].where == "steps.0.task"


@pytest.mark.parametrize(
    ("body", "where", "part"),
    [
        ({}, "model", "model is missing"),
        ({"model": "model/m", "tool": []}, "tool", "unknown key 'tool'"),
        ({"model": "model/m", "tools": ["prompt/x"]}, "tools.0", "a tool is needed"),
        ({"model": "model/m", "tools": [], "tasks": {}}, "tools", "not both"),
        ({"model": "model/m", "limits": {"step": 1}}, "limits.step", "unknown key 'step' in limits"),
        ({"model": "model/m", "limits": {"steps": 0}}, "limits.steps", "must be from 1"),
    ],
)
def test_bad_agents_get_one_clear_problem(project, body, where, part):
    project.add("model/m", provider="test")
    with pytest.raises(Invalid) as caught:
        project.add("agent/x", **body)
    (problem,) = caught.value.problems
    assert problem.where == where
    assert part in problem.message
