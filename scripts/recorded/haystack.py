"""Haystack, by its own OpenTelemetry tracer: retrieval and an answer, an agent with a tool, a refused call."""

from __future__ import annotations

import os

SCRIPT = [
    {"when": "(?i)weather in Paris", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]},
    {"when": "18 degrees", "reply": "It is 18 degrees in Paris."},
    {"when": "mill", "reply": "A tide mill grinds by the tide."},
    {"reply": "Hello!"},
]


def main() -> None:
    os.environ["HAYSTACK_CONTENT_TRACING_ENABLED"] = "true"
    os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"
    from recorded.exporting import provider

    spans = provider()
    from haystack import Document, Pipeline, tracing
    from haystack.components.agents import Agent
    from haystack.components.builders import ChatPromptBuilder
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
    from haystack.dataclasses import ChatMessage
    from haystack.document_stores.in_memory import InMemoryDocumentStore
    from haystack.tools import tool
    from haystack_integrations.tracing.opentelemetry import OpenTelemetryTracer
    from opentelemetry import trace

    tracing.enable_tracing(OpenTelemetryTracer(trace.get_tracer("haystack")))
    tracing.tracer.is_content_tracing_enabled = True
    base, headers = os.environ["OPENAI_BASE_URL"], {"x-tidemill-project": os.environ["X_TIDEMILL_PROJECT"]}

    def model(name: str, **others: object) -> OpenAIChatGenerator:
        return OpenAIChatGenerator(
            model=name, api_base_url=base, max_retries=0, http_client_kwargs={"headers": headers}, **others
        )

    store = InMemoryDocumentStore()
    store.write_documents([Document(content="A tide mill is driven by the tide."), Document(content="Paris is in France.")])
    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryBM25Retriever(store, top_k=2))
    template = [ChatMessage.from_user("{% for each in documents %}{{ each.content }}{% endfor %} What is a mill?")]
    pipeline.add_component("prompt", ChatPromptBuilder(template=template, required_variables=["documents"]))
    pipeline.add_component(
        "llm", model("model/tide", generation_kwargs={"temperature": 0.2}, streaming_callback=lambda _: None)
    )
    pipeline.connect("retriever", "prompt")
    pipeline.connect("prompt", "llm")
    pipeline.run({"retriever": {"query": "tide mill"}})

    @tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"18 degrees in {city}"

    agent = Agent(chat_generator=model("model/tide"), tools=[get_weather], system_prompt="Be brief.")
    agent.run(messages=[ChatMessage.from_user("What is the weather in Paris?")])
    broken = Pipeline()
    broken.add_component("llm", model("model/broken"))
    try:
        broken.run({"llm": {"messages": [ChatMessage.from_user("fail")]}})
    except Exception as error:
        print("as expected:", type(error).__name__)
    spans.force_flush()
