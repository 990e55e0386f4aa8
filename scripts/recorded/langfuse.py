"""Langfuse's SDK: observations of every type, its OpenAI client (a tool call, a stream, a refused call), a prompt, a level."""

from __future__ import annotations

import os

SCRIPT = [
    {"when": "(?i)weather in Paris", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]},
    {"when": "18 degrees", "reply": "It is 18 degrees in Paris."},
    {"reply": "Hello! How can I help?"},
]
_TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def main() -> None:
    os.environ |= {"LANGFUSE_PUBLIC_KEY": "pk-lf-local", "LANGFUSE_SECRET_KEY": "sk-lf-local", "LANGFUSE_RELEASE": "2026-11",
                   "LANGFUSE_HOST": os.environ["CAPTURE_URL"], "LANGFUSE_BASE_URL": os.environ["CAPTURE_URL"]}  # fmt: skip
    from langfuse import get_client, propagate_attributes
    from langfuse.openai import OpenAI

    langfuse = get_client()
    openai = OpenAI(max_retries=0, default_headers={"x-tidemill-project": os.environ["X_TIDEMILL_PROJECT"]})
    asked = {"role": "user", "content": "What is the weather in Paris?"}
    with (
        propagate_attributes(user_id="user-1", session_id="session-1", tags=["demo", "langfuse"], metadata={"team": "support"}),
        langfuse.start_as_current_observation(as_type="agent", name="helper", input={"question": asked["content"]}) as root,
    ):
        with langfuse.start_as_current_observation(as_type="retriever", name="find", input="weather") as found:
            found.update(output=[{"id": "d1", "content": "Paris is in France.", "score": 0.9}])
        first = openai.chat.completions.create(
            model="model/tide", messages=[asked], tools=[_TOOL], temperature=0.2, name="decide"
        )
        call = first.choices[0].message.tool_calls[0]
        with langfuse.start_as_current_observation(as_type="tool", name="get_weather", input=call.function.arguments) as tool:
            tool.update(output="18 degrees in Paris")
        answered = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees in Paris"}
        messages = [asked, first.choices[0].message.model_dump(exclude_none=True), answered]
        stream = openai.chat.completions.create(
            model="model/tide", messages=messages, stream=True, stream_options={"include_usage": True}, name="answer"
        )
        said = "".join(each.choices[0].delta.content or "" for each in stream if each.choices)
        with langfuse.start_as_current_observation(as_type="guardrail", name="check", input=said) as check:
            check.update(output={"passed": True}, level="WARNING", status_message="close to the limit")
        with langfuse.start_as_current_observation(
            as_type="generation", name="by-hand", model="gpt-4o", model_parameters={"temperature": 0.5, "max_tokens": 50}
        ) as generation:
            generation.update(
                input=[{"role": "user", "content": "hi"}], output={"role": "assistant", "content": "hello"},
                usage_details={"input": 10, "output": 5, "input_cached_tokens": 4, "output_reasoning_tokens": 2},
                cost_details={"input": 0.001, "output": 0.002, "total": 0.003}, metadata={"attempt": 2, "nested": {"a": [1]}},
            )  # fmt: skip
        try:
            openai.chat.completions.create(model="model/broken", messages=[{"role": "user", "content": "fail"}])
        except Exception as error:
            print("as expected:", type(error).__name__)
        with langfuse.start_as_current_observation(
            as_type="embedding", name="embed", model="words", input=["a", "b"]
        ) as embedding:
            embedding.update(usage_details={"input": 2})
        root.update(output={"answer": said})
    langfuse.flush()
