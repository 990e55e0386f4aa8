from __future__ import annotations

import json

from telemetry.dialects.reading import read


def mlflow(**values):
    return {f"mlflow.{name.replace('__', '.')}": json.dumps(value) for name, value in values.items()}


def test_a_chat_model():
    record = read(
        mlflow(
            spanType="CHAT_MODEL",
            spanInputs={"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.3},
            spanOutputs={
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yo"}}],
                "usage": {"prompt_tokens": 1},
            },
            chat__tokenUsage={"input_tokens": 5, "output_tokens": 2, "total_tokens": 7, "cache_read_input_tokens": 1},
            llm__cost={"input_cost": 0.1, "output_cost": 0.2, "total_cost": 0.3},
            trace__session="talk-1",
            trace__user="ada",
        )
    )
    assert (record.dialect, record.kind, record.model, record.cost) == ("mlflow", "llm", "m", 0.3)
    assert record.input == {"messages": [{"role": "user", "content": "hi"}], "model": "m", "temperature": 0.3}
    assert record.output["messages"] == [{"role": "assistant", "content": "yo", "finish_reason": "stop", "index": 0}]
    assert record.output["usage"] == {"prompt_tokens": 1}
    assert (record.usage.input_tokens, record.usage.output_tokens, record.usage.cached_tokens) == (5, 2, 1)
    assert (record.finish_reasons, record.session, record.user) == (("stop",), "talk-1", "ada")
    assert record.attributes["gen_ai.request.temperature"] == 0.3


def test_kinds_and_documents():
    kinds = {"RERANKER": "reranker", "GUARDRAIL": "guardrail", "PARSER": "chain", "EMBEDDING": "embedding", "NEW": "other"}
    for said, kind in kinds.items():
        assert read(mlflow(spanType=said)).kind == kind
    found = read(mlflow(spanType="RETRIEVER", spanOutputs=[{"page_content": "p", "metadata": {"source": "a.md"}, "id": "1"}]))
    assert found.output == [{"id": "1", "document": "a.md", "text": "p", "score": None, "metadata": {"source": "a.md"}}]


def test_an_answer_of_other_vendors():
    claude = {
        "id": "m1",
        "role": "assistant",
        "type": "message",
        "content": [{"type": "text", "text": "yo"}],
        "stop_reason": "end",
    }
    made = read(mlflow(spanType="LLM", spanOutputs=claude))
    assert made.output["messages"] == [{"role": "assistant", "content": "yo", "id": "m1", "stop_reason": "end"}]
    assert made.finish_reasons == ("end",)
    gemini = {"candidates": [{"content": {"role": "model", "parts": [{"text": "yo"}]}, "finishReason": "STOP"}]}
    made = read(mlflow(spanType="LLM", spanOutputs=gemini))
    assert (made.output["messages"][0]["content"], made.finish_reasons) == ("yo", ("STOP",))
    responses = {
        "output": [
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"type": "function_call", "call_id": "c1", "id": "f", "name": "look", "arguments": "{}"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yo"}]},
        ]
    }
    thought, call, said = read(mlflow(spanType="LLM", spanOutputs=responses)).output["messages"]
    assert thought["content"] == [{"type": "reasoning", "text": "Hm."}]
    assert call["tool_calls"] == [{"id": "c1", "name": "look", "arguments": "{}", "id_given": "f"}]
    assert said == {"role": "assistant", "content": "yo"}
