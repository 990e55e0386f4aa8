"""AutoGen's AgentChat, by its own spans: an agent with a tool, a swarm that hands over, a stream, a refused call."""

from __future__ import annotations

import asyncio
import os

SCRIPT = [
    {"when": "(?i)weather in Paris", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]},
    {"when": "(?i)transferred to billing|Transfer", "reply": "Order 7 is refunded. TERMINATE"},
    {"when": "(?i)refund", "tool_calls": [{"name": "transfer_to_billing", "arguments": {}}]},
    {"when": "18 degrees", "reply": "It is 18 degrees in Paris. TERMINATE"},
    {"reply": "Hello! TERMINATE"},
]


def main() -> None:
    from recorded.exporting import provider

    spans = provider()
    asyncio.run(scenario())
    spans.force_flush()


async def scenario() -> None:
    from autogen_agentchat.agents import AssistantAgent
    from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination
    from autogen_agentchat.teams import Swarm
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    headers = {"x-tidemill-project": os.environ["X_TIDEMILL_PROJECT"]}
    info = {"vision": False, "function_calling": True, "json_output": False, "family": "unknown", "structured_output": False}

    def model(name: str = "model/tide") -> OpenAIChatCompletionClient:
        return OpenAIChatCompletionClient(model=name, model_info=info, default_headers=headers, max_retries=0)

    async def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"18 degrees in {city}"

    helper = AssistantAgent("helper", model_client=model(), tools=[get_weather], reflect_on_tool_use=True)
    await helper.run(task="What is the weather in Paris?")
    desk = AssistantAgent("desk", model_client=model(), handoffs=["billing"])
    billing = AssistantAgent("billing", model_client=model(), model_client_stream=True)
    team = Swarm([desk, billing], termination_condition=TextMentionTermination("TERMINATE") | MaxMessageTermination(8))
    await team.run(task="I want a refund for order 7.")
    try:
        await AssistantAgent("broken", model_client=model("model/broken")).run(task="fail")
    except Exception as error:
        print("as expected:", type(error).__name__)
