"""Strands Agents, by its own spans: a tool, an answer that streams, an agent that another uses as a tool, a refused call."""

from __future__ import annotations

import os

SCRIPT = [
    {"when": "(?i)weather in Paris", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]},
    {"when": "(?i)refund", "tool_calls": [{"name": "billing", "arguments": {"question": "Is it allowed?"}}]},
    {"when": "Is it allowed|until Friday", "reply": "Order 7 can be returned until Friday."},
    {"when": "18 degrees", "reply": "It is 18 degrees and sunny in Paris."},
    {"reply": "Hello! How can I help?"},
]


def main() -> None:
    from strands import Agent, tool
    from strands.models.openai import OpenAIModel
    from strands.telemetry import StrandsTelemetry

    StrandsTelemetry().setup_otlp_exporter()
    client = {"base_url": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"], "max_retries": 0,
              "default_headers": {"x-tidemill-project": os.environ["X_TIDEMILL_PROJECT"]}}  # fmt: skip
    model = OpenAIModel(client_args=client, model_id="model/tide", params={"temperature": 0.2, "max_tokens": 200})

    @tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"18 degrees and sunny in {city}"

    @tool
    def billing(question: str) -> str:
        """Ask the billing agent."""
        return str(Agent(model=model, name="billing", callback_handler=None)(question))

    attributes = {"session.id": "session-1", "user.id": "user-1", "tag.tags": ["strands", "demo"]}
    agent = Agent(model=model, name="helper", tools=[get_weather, billing], system_prompt="Be brief.", callback_handler=None,
                  trace_attributes=attributes)  # fmt: skip
    agent("What is the weather in Paris?")
    agent("Can I get a refund for order 7?")
    broken = Agent(model=OpenAIModel(client_args=client, model_id="model/broken"), name="broken", callback_handler=None)
    try:
        broken("This will fail.")
    except Exception as error:
        print("as expected:", type(error).__name__)
    from opentelemetry import trace

    trace.get_tracer_provider().force_flush()
