from __future__ import annotations

import json

import pytest

from telemetry.dialects.reading import event, read


def test_messages_by_index_with_parts_and_tools():
    prefix = "llm.input_messages."
    record = read(
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o",
            "llm.provider": "openai",
            "llm.invocation_parameters": '{"temperature": 0.1, "top_p": 0.9, "max_completion_tokens": 5, "stop": ["x"]}',
            f"{prefix}0.message.role": "user",
            f"{prefix}0.message.contents.0.message_content.type": "text",
            f"{prefix}0.message.contents.0.message_content.text": "What is this?",
            f"{prefix}0.message.contents.1.message_content.type": "image",
            f"{prefix}0.message.contents.1.message_content.image.image.url": "data:image/png;base64,aGk=",
            f"{prefix}1.message.role": "assistant",
            f"{prefix}1.message.tool_calls.0.tool_call.id": "c1",
            f"{prefix}1.message.tool_calls.0.tool_call.function.name": "look",
            f"{prefix}1.message.tool_calls.0.tool_call.function.arguments": '{"at": "it"}',
            f"{prefix}2.message.role": "tool",
            f"{prefix}2.message.tool_call_id": "c1",
            f"{prefix}2.message.content": "a mill",
            f"{prefix}10.message.role": "user",
            f"{prefix}10.message.content": "last",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.function_call_name": "look",
            "llm.output_messages.0.message.function_call_arguments_json": "{}",
            "llm.tools.0.tool.json_schema": '{"type": "function", "function": {"name": "look", "parameters": {}}}',
            "llm.token_count.prompt": 10,
            "llm.token_count.completion": 4,
            "llm.token_count.prompt_details.cache_read": 3,
            "llm.token_count.prompt_details.audio": 1,
            "llm.token_count.completion_details.reasoning": 2,
            "llm.cost.total": 0.01,
            "input.value": "kept beside",
        }
    )
    first, second, third, last = record.input["messages"]
    assert first["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "url": "data:image/png;base64,aGk="},
    ]
    assert second["tool_calls"] == [{"id": "c1", "name": "look", "arguments": '{"at": "it"}'}]
    assert (third["role"], third["tool_call_id"], third["content"], last["content"]) == ("tool", "c1", "a mill", "last")
    assert record.input["tools"] == [{"name": "look", "parameters": {}}]
    assert record.output["messages"][0]["tool_calls"] == [{"id": "", "name": "look", "arguments": "{}"}]
    usage = record.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == (10, 4, 3)
    assert (usage.audio_input_tokens, usage.reasoning_tokens, record.cost) == (1, 2, 0.01)
    parameters = {"gen_ai.request.temperature": 0.1, "gen_ai.request.max_tokens": 5, "gen_ai.request.stop_sequences": ["x"]}
    assert parameters.items() <= record.attributes.items()
    assert record.attributes["input.value"] == "kept beside"
    assert not any(key.startswith("llm.input_messages") for key in record.attributes)


def test_retrieved_and_reranked_documents():
    found = read(
        {
            "openinference.span.kind": "RETRIEVER",
            "input.value": "mills",
            "retrieval.documents.0.document.id": "d1",
            "retrieval.documents.0.document.content": "About mills",
            "retrieval.documents.0.document.score": 0.9,
            "retrieval.documents.0.document.metadata": '{"source": "a.md"}',
            "retrieval.documents.1.document.content": "More",
        }
    )
    assert (found.kind, found.input) == ("retriever", "mills")
    assert found.output == [
        {"id": "d1", "document": "a.md", "text": "About mills", "score": 0.9, "metadata": {"source": "a.md"}},
        {"id": "", "document": "", "text": "More", "score": None},
    ]
    ranked = read(
        {
            "openinference.span.kind": "RERANKER",
            "reranker.query": "mills",
            "reranker.model_name": "rank-1",
            "reranker.input_documents.0.document.content": "a",
            "reranker.output_documents.0.document.content": "a",
            "reranker.output_documents.0.document.score": 0.7,
        }
    )
    assert (ranked.kind, ranked.model, ranked.output[0]["score"]) == ("reranker", "rank-1", 0.7)
    assert ranked.input[0]["text"] == "a"


def test_embeddings_are_counted():
    record = read(
        {
            "openinference.span.kind": "EMBEDDING",
            "embedding.model_name": "e-1",
            "embedding.embeddings.0.embedding.text": "tide",
            "embedding.embeddings.0.embedding.vector": [0.1, 0.2, 0.3],
            "embedding.embeddings.1.embedding.text": "mill",
            "embedding.embeddings.1.embedding.vector": [0.1, 0.2, 0.3],
        }
    )
    assert (record.kind, record.model, record.input) == ("embedding", "e-1", ["tide", "mill"])
    assert record.output == {"vectors": 2, "dimensions": 3}


@pytest.mark.parametrize(
    ("said", "kind"),
    [("GUARDRAIL", "guardrail"), ("EVALUATOR", "evaluator"), ("CHAIN", "chain"), ("Agent", "agent"), ("UNHEARD", "other")],
)
def test_kinds(said, kind):
    record = read({"openinference.span.kind": said})
    assert record.kind == kind
    assert record.attributes["openinference.span.kind"] == said


def test_text_models_and_lone_values():
    record = read(
        {"openinference.span.kind": "LLM", "llm.prompts.0.prompt.text": "Say hi", "llm.choices.0.completion.text": "hi"}
    )
    assert record.input == {"messages": [{"role": "user", "content": "Say hi"}]}
    assert record.output == {"messages": [{"role": "assistant", "content": "hi"}]}
    whole = {"messages": [{"role": "user", "content": "hi"}], "model": "m"}
    asked = read({"openinference.span.kind": "LLM", "input.value": json.dumps(json.dumps(whole)), "output.value": "yo"})
    assert asked.input == whole
    assert asked.output == {"messages": [{"role": "assistant", "content": "yo"}]}


def test_the_first_token():
    assert read({"openinference.span.kind": "LLM"}, events=[event("First Token Stream Event", after_ns=5)]).first_token_ns == 5


def test_an_agent_that_was_handed_the_work():
    given = {"openinference.span.kind": "AGENT", "graph.node.id": "Refunds", "graph.node.parent_id": "Triage"}
    assert read(given).attributes["tidemill.handoff.from"] == "Triage"
