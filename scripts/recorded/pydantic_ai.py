"""Pydantic AI, as it instruments itself: an agent with a tool, a structured answer, a refused call."""

from __future__ import annotations

import os

SCRIPT = [
    {"when": "18 degrees", "reply": "It is 18 degrees in Paris."},
    {"when": "(?i)weather in Paris", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]},
    {"reply": "Hello!"},
]
VERSION = 0  # of the format, 0: the library's own


def main(version: int = VERSION) -> None:
    from recorded.exporting import provider

    spans = provider()
    import openai
    from pydantic_ai import Agent
    from pydantic_ai.models.instrumented import InstrumentationSettings
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    client = openai.AsyncOpenAI(max_retries=0, default_headers={"x-tidemill-project": os.environ["X_TIDEMILL_PROJECT"]})
    settings = {"version": version} if version else {}
    Agent.instrument_all(InstrumentationSettings(tracer_provider=spans, **settings))

    def agent(name: str) -> Agent[None, str]:
        model = OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))
        return Agent(model, name="weather_agent", system_prompt="Be brief.", model_settings={"temperature": 0.2})

    weather = agent("model/tide")

    @weather.tool_plain
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"18 degrees in {city}"

    weather.run_sync("What is the weather in Paris?")
    try:
        agent("model/broken").run_sync("fail")
    except Exception as error:
        print("as expected:", type(error).__name__)
    spans.force_flush()
