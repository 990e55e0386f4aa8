"""Semantic Kernel, by its own spans: a function, an agent with a plugin, a stream, a refused call."""

from __future__ import annotations

import asyncio
import logging
import os

SCRIPT = [
    {"when": "(?i)weather in Paris", "tool_calls": [{"name": "weather-get_weather", "arguments": {"city": "Paris"}}]},
    {"when": "18 degrees", "reply": "It is 18 degrees in Paris."},
    {"reply": "Hello!"},
]


def main() -> None:
    os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS"] = "true"
    os.environ["SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE"] = "true"
    from opentelemetry.sdk._logs import LoggingHandler

    from recorded.exporting import log_provider, provider

    spans, logs = provider(), log_provider()
    said = logging.getLogger("semantic_kernel.utils.telemetry.model_diagnostics.decorators")
    said.addHandler(LoggingHandler(logger_provider=logs))
    said.setLevel(logging.INFO)
    asyncio.run(scenario())
    spans.force_flush()
    logs.force_flush()


async def scenario() -> None:
    from openai import AsyncOpenAI
    from semantic_kernel import Kernel
    from semantic_kernel.agents import ChatCompletionAgent
    from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
    from semantic_kernel.functions import kernel_function

    client = AsyncOpenAI(max_retries=0, default_headers={"x-tidemill-project": os.environ["X_TIDEMILL_PROJECT"]})

    class Weather:
        @kernel_function(name="get_weather", description="The weather in a city.")
        def get_weather(self, city: str) -> str:
            return f"18 degrees in {city}"

    def model(name: str = "model/tide") -> OpenAIChatCompletion:
        return OpenAIChatCompletion(ai_model_id=name, async_client=client)

    kernel = Kernel(services=[model()])
    await kernel.invoke_prompt("Say hello to {{$name}}", name="Ada")
    agent = ChatCompletionAgent(service=model(), name="helper", instructions="Be brief.", plugins=[_plugin(Weather())])
    await agent.get_response("What is the weather in Paris?")
    async for _ in agent.invoke_stream("Hello"):
        pass
    broken = ChatCompletionAgent(service=model("model/broken"), name="broken")
    try:
        await broken.get_response("fail")
    except Exception as error:
        print("as expected:", type(error).__name__)


def _plugin(instance: object) -> object:
    from semantic_kernel.functions import KernelPlugin

    return KernelPlugin.from_object("weather", instance)
