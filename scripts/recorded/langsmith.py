"""LangSmith, sending OpenTelemetry: a LangGraph agent with a tool and a stream, functions of every run type, a failure."""

from __future__ import annotations

import os

SCRIPT = [
    {"when": "(?i)weather in Paris", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]},
    {"when": "18 degrees", "reply": "It is 18 degrees in Paris."},
    {"reply": "Hello! How can I help?"},
]


def main() -> None:
    from recorded.exporting import provider

    os.environ |= {"LANGSMITH_TRACING": "true", "LANGSMITH_OTEL_ENABLED": "true", "LANGSMITH_OTEL_ONLY": "true",
                   "LANGSMITH_API_KEY": "ls-local", "LANGSMITH_ENDPOINT": os.environ["CAPTURE_URL"]}  # fmt: skip
    spans = provider()
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from langgraph.prebuilt import create_react_agent
    from langsmith import Client, traceable

    headers = {"x-tidemill-project": os.environ["X_TIDEMILL_PROJECT"]}

    @tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"18 degrees in {city}"

    @traceable(run_type="retriever", name="find")
    def find(query: str) -> list[dict[str, object]]:  # noqa: ARG001  (what is recorded)
        return [{"page_content": "Paris is in France.", "type": "Document", "metadata": {"source": "atlas", "score": 0.9}}]

    @traceable(run_type="tool", name="broken_tool")
    def broken_tool() -> None:
        raise ValueError("no such city")

    @traceable(run_type="chain", name="answer", tags=["demo"], metadata={"user_id": "user-1", "session_id": "session-1"})
    def answer(question: str) -> str:
        find(question)
        agent = create_react_agent(ChatOpenAI(model="model/tide", temperature=0.2, default_headers=headers), [get_weather])
        said = agent.invoke({"messages": [("user", question)]})["messages"][-1].content
        streaming = ChatOpenAI(model="model/tide", stream_usage=True, default_headers=headers)
        for _ in streaming.stream("Hello"):
            pass
        for fails in (
            lambda: ChatOpenAI(model="model/broken", max_retries=0, default_headers=headers).invoke("fail"),
            broken_tool,
        ):
            try:
                fails()
            except Exception as error:
                print("as expected:", type(error).__name__)
        return said

    answer("What is the weather in Paris?")
    Client().flush()
    from langchain_core.tracers.langchain import wait_for_all_tracers

    wait_for_all_tracers()
    spans.force_flush()
