from __future__ import annotations

import json

from telemetry.dialects.reading import read

RUN = [
    {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
    {"role": "user", "parts": [{"type": "text", "content": "hi"}]},
    {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "look", "arguments": {}}]},
    {"role": "user", "parts": [{"type": "tool_call_response", "id": "c1", "name": "look", "result": "a mill"}]},
    {"role": "assistant", "parts": [{"type": "text", "content": "A mill."}]},
]


def test_a_run_of_an_agent():
    record = read({"agent_name": "a", "model_name": "m", "pydantic_ai.all_messages": json.dumps(RUN)}, scope="pydantic-ai")
    assert (record.kind, record.model, record.dialect) == ("agent", "m", "pydantic_ai")
    assert [each["content"] for each in record.input["messages"]] == ["Be brief.", "hi"]
    call, result, answer = record.output["messages"]
    assert call["tool_calls"] == [{"id": "c1", "name": "look", "arguments": "{}"}]
    assert result["content"] == [{"type": "tool_result", "id": "c1", "content": "a mill", "name": "look"}]
    assert answer["content"] == "A mill."
    assert record.attributes["gen_ai.agent.name"] == "a"


def test_a_run_that_goes_on_begins_with_its_new_messages():
    given = {"pydantic_ai.all_messages": RUN, "pydantic_ai.new_message_index": 3, "agent_name": "a"}
    record = read(given, scope="pydantic-ai")
    assert len(record.input["messages"]) == 4
    assert [each["content"] for each in record.output["messages"]] == ["A mill."]


def test_events_in_an_attribute():
    events = [
        {"event.name": "gen_ai.system.message", "content": "Be brief.", "role": "system"},
        {"event.name": "gen_ai.user.message", "content": "hi", "role": "user"},
        {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "yo"}},
    ]
    record = read(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m",
            "events": json.dumps(events),
            "model_request_parameters": {"function_tools": [{"name": "look", "parameters_json_schema": {"type": "object"}}]},
            "operation.cost": 0.001,
        },
        scope="pydantic-ai",
    )
    assert [each["content"] for each in record.input["messages"]] == ["Be brief.", "hi"]
    assert record.input["tools"] == [{"name": "look", "parameters": {"type": "object"}}]
    assert record.output["messages"][0]["content"] == "yo"
    assert (record.kind, record.cost) == ("llm", 0.001)


def test_tools_and_steps():
    tool = read({"gen_ai.tool.name": "look", "tool_arguments": {"at": "it"}, "tool_response": "a mill"}, scope="pydantic-ai")
    assert (tool.kind, tool.input, tool.output) == ("tool", {"at": "it"}, "a mill")
    assert read({"tools": ["look"], "logfire.msg": "running 1 tool"}, scope="pydantic-ai").kind == "chain"
