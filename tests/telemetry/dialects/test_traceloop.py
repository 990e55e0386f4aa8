from __future__ import annotations

from telemetry.dialects.reading import event, read


def test_messages_by_index():
    record = read(
        {
            "llm.request.type": "chat",
            "gen_ai.system": "OpenAI",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": '[{"type": "text", "text": "What is this?"}]',
            "gen_ai.prompt.1.role": "assistant",
            "gen_ai.prompt.1.tool_calls.0.id": "c1",
            "gen_ai.prompt.1.tool_calls.0.name": "look",
            "gen_ai.prompt.1.tool_calls.0.arguments": "{}",
            "gen_ai.prompt.2.role": "tool",
            "gen_ai.prompt.2.tool_call_id": "c1",
            "gen_ai.prompt.2.content": "a mill",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "A mill.",
            "gen_ai.completion.0.finish_reason": "stop",
            "llm.request.functions.0.name": "look",
            "llm.request.functions.0.parameters": '{"type": "object"}',
            "gen_ai.usage.prompt_tokens": 9,
            "gen_ai.usage.completion_tokens": 3,
            "llm.usage.total_tokens": 12,
            "gen_ai.usage.cache_read_input_tokens": 4,
            "llm.frequency_penalty": 0.5,
            "traceloop.association.properties.session_id": "talk-1",
            "traceloop.association.properties.user_id": "ada",
        }
    )
    assert (record.dialect, record.kind, record.provider) == ("traceloop", "llm", "OpenAI")
    user, assistant, tool = record.input["messages"]
    assert user == {"role": "user", "content": "What is this?"}
    assert assistant["tool_calls"] == [{"id": "c1", "name": "look", "arguments": "{}"}]
    assert (tool["role"], tool["tool_call_id"]) == ("tool", "c1")
    assert record.input["tools"] == [{"name": "look", "parameters": {"type": "object"}}]
    assert record.output["messages"] == [{"role": "assistant", "content": "A mill.", "finish_reason": "stop"}]
    assert (record.usage.input_tokens, record.usage.output_tokens, record.usage.cached_tokens) == (9, 3, 4)
    assert (record.finish_reasons, record.session, record.user) == (("stop",), "talk-1", "ada")
    assert record.attributes["gen_ai.request.frequency_penalty"] == 0.5
    assert not any(key.startswith(("gen_ai.prompt", "gen_ai.completion")) for key in record.attributes)


def test_workflows_tasks_agents_and_tools():
    kinds = {"workflow": "chain", "task": "chain", "agent": "agent", "tool": "tool"}
    for said, kind in kinds.items():
        record = read(
            {
                "traceloop.span.kind": said,
                "traceloop.entity.name": "answer",
                "traceloop.entity.input": '{"args": ["x"], "kwargs": {}}',
                "traceloop.entity.output": '"done"',
            }
        )
        assert (record.kind, record.input, record.output) == (kind, {"args": ["x"], "kwargs": {}}, "done")


def test_what_a_vector_database_found():
    found = {"db.query.result.id": "d1", "db.query.result.document": "About mills", "db.query.result.distance": 0.2}
    record = read({"db.system": "chroma"}, events=[event("db.query.result", **found)])
    assert (record.kind, record.dialect) == ("retriever", "traceloop")
    assert record.output == [{"distance": 0.2, "id": "d1", "document": "", "text": "About mills", "score": -0.2}]


def test_the_first_generation():
    record = read(
        {
            "llm.vendor": "OpenAI",
            "llm.request.type": "completion",
            "llm.request.model": "davinci",
            "llm.prompts.0.role": "user",
            "llm.prompts.0.content": "Say hi",
            "llm.completions.0.content": "hi",
            "llm.usage.prompt_tokens": 2,
            "llm.usage.completion_tokens": 1,
        }
    )
    assert (record.kind, record.model, record.provider, record.usage.input_tokens) == ("llm", "davinci", "OpenAI", 2)
    assert record.input["messages"] == [{"role": "user", "content": "Say hi"}]
    assert record.output["messages"] == [{"role": "assistant", "content": "hi"}]
