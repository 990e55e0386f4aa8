from __future__ import annotations

import json

import pytest

from telemetry.dialects.reading import read

PICTURE = {"type": "file", "mediaType": "image/png", "data": "aGk="}
RESULT = {"type": "text", "value": "a mill"}
CALL = {"toolCallType": "function", "toolCallId": "c2", "toolName": "look", "args": "{}"}


def test_a_call_of_a_model():
    asked = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}, PICTURE]},
        {
            "role": "assistant",
            "content": [
                {"type": "reasoning", "text": "Hm."},
                {"type": "tool-call", "toolCallId": "c1", "toolName": "look", "input": {"at": "it"}},
            ],
        },
        {
            "role": "tool",
            "content": [{"type": "tool-result", "toolCallId": "c1", "toolName": "look", "output": RESULT}],
        },
    ]  # fmt: skip
    record = read(
        {
            "operation.name": "ai.streamText.doStream test",
            "ai.operationId": "ai.streamText.doStream",
            "ai.model.id": "gpt-4o",
            "ai.model.provider": "openai.responses",
            "ai.prompt.messages": json.dumps(asked),
            "ai.prompt.tools": [json.dumps({"type": "function", "name": "look", "inputSchema": {"type": "object"}})],
            "ai.response.text": "A mill.",
            "ai.response.toolCalls": json.dumps([CALL]),
            "ai.response.finishReason": "tool-calls",
            "ai.response.msToFirstChunk": 12.5,
            "ai.usage.inputTokens": 9,
            "ai.usage.outputTokens": 4,
            "ai.usage.cachedInputTokens": 2,
            "ai.usage.reasoningTokens": 1,
            "ai.settings.temperature": 0.4,
            "ai.telemetry.metadata.userId": "ada",
            "ai.telemetry.metadata.sessionId": "talk-1",
            "ai.telemetry.metadata.tags": ["demo"],
        }
    )  # fmt: skip
    user, assistant, tool = record.input["messages"]
    assert user["content"][1] == {"type": "file", "media_type": "image/png", "data": "aGk="}
    assert assistant["content"] == [{"type": "reasoning", "text": "Hm."}]
    assert assistant["tool_calls"] == [{"id": "c1", "name": "look", "arguments": '{"at":"it"}'}]
    assert (tool["tool_call_id"], tool["content"]["value"]) == ("c1", "a mill")
    assert record.input["tools"] == [{"name": "look", "parameters": {"type": "object"}}]
    (answer,) = record.output["messages"]
    assert answer["tool_calls"] == [{"id": "c2", "name": "look", "arguments": "{}"}]
    assert (answer["content"], record.finish_reasons, record.first_token_ns) == ("A mill.", ("tool-calls",), 12_500_000)
    assert (record.usage.input_tokens, record.usage.cached_tokens, record.usage.reasoning_tokens) == (9, 2, 1)
    assert (record.user, record.session, record.tags, record.provider) == ("ada", "talk-1", ("demo",), "openai")
    assert record.attributes["gen_ai.request.temperature"] == 0.4


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("ai.generateText", "chain"), ("ai.generateText.doGenerate", "llm"), ("ai.streamObject.doStream", "llm"),
        ("ai.toolCall", "tool"), ("ai.embed", "chain"), ("ai.embedMany.doEmbed", "embedding"),
        ("ai.rerank.doRerank", "reranker"),
    ],
)  # fmt: skip
def test_what_an_operation_is(operation, kind):
    assert read({"ai.operationId": operation}).kind == kind


def test_tools_objects_and_vectors():
    called = {"ai.toolCall.name": "look", "ai.toolCall.args": '{"a": 1}', "ai.toolCall.result": '"x"'}
    tool = read({"ai.operationId": "ai.toolCall", **called})
    assert (tool.input, tool.output, tool.attributes["gen_ai.tool.name"]) == ({"a": 1}, "x", "look")
    given = {"ai.prompt": '{"system": "s", "prompt": "p"}', "ai.response.object": '{"a": 1}'}
    made = read({"ai.operationId": "ai.generateObject", **given})
    assert [each["role"] for each in made.input["messages"]] == ["system", "user"]
    assert made.output == {"messages": [{"role": "assistant", "content": '{"a": 1}'}]}
    vectors = {"ai.values": ['"a"', '"b"'], "ai.embeddings": ["[0.1,0.2]", "[0.3,0.4]"]}
    many = read({"ai.operationId": "ai.embedMany.doEmbed", **vectors})
    assert (many.input, many.output) == (["a", "b"], {"vectors": 2, "dimensions": 2})
