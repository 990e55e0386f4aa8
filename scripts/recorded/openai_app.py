"""What the instrumentations of OpenAI's client are recorded doing: an answer, a tool, a stream, embeddings, a refused call."""

from __future__ import annotations

import json
import os
from typing import Any

SCRIPT = [
    {"when": "18 degrees", "reply": "It is 18 degrees in Paris."},
    {"when": "(?i)weather in Paris", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]},
    {"when": "mill", "reply": "A tide mill grinds by the tide."},
    {"reply": "Hello!"},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def run() -> None:
    import openai

    client: Any = openai.OpenAI(max_retries=0, default_headers={"x-tidemill-project": os.environ["X_TIDEMILL_PROJECT"]})
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a tide mill?"}]
    client.chat.completions.create(model="model/tide", messages=asked, temperature=0.2, max_tokens=50, seed=7, stop=["\n\n"])
    talk: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    message = client.chat.completions.create(model="model/tide", messages=talk, tools=TOOLS).choices[0].message
    talk.append(message.model_dump(exclude_none=True))
    for call in message.tool_calls or ():
        result = json.dumps({"said": "18 degrees"})
        talk.append({"role": "tool", "tool_call_id": call.id, "content": result})
    client.chat.completions.create(model="model/tide", messages=talk, tools=TOOLS)
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/mill.png"}}
    parts = [{"type": "text", "text": "Hello, what is this?"}, picture]
    options = {"include_usage": True}
    for _ in client.chat.completions.create(
        model="model/tide", messages=[{"role": "user", "content": parts}], stream=True, stream_options=options
    ):
        pass
    for task in (
        lambda: client.embeddings.create(model="model/embedder", input=["tide", "mill"]),
        lambda: client.chat.completions.create(model="model/broken", messages=[{"role": "user", "content": "fail"}]),
    ):
        try:
            task()
        except openai.OpenAIError as error:
            print("as expected:", type(error).__name__)
