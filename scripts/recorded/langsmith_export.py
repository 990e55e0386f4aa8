"""LangSmith's own requests, as its SDK sends runs without OpenTelemetry: the batches that an export file may hold."""

from __future__ import annotations

import json
import os
import re
from typing import Any

SCRIPT = [
    {"when": "(?i)weather in Paris", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]},
    {"when": "18 degrees", "reply": "It is 18 degrees in Paris."},
    {"reply": "Hello! How can I help?"},
]


def main() -> None:
    os.environ |= {
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_API_KEY": "ls-local",
        "LANGSMITH_ENDPOINT": os.environ["CAPTURE_URL"],
    }
    from langchain_core.tools import tool
    from langchain_core.tracers.langchain import wait_for_all_tracers
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

    @traceable(run_type="chain", name="answer", tags=["demo"], metadata={"user_id": "user-1", "session_id": "session-1"})
    def answer(question: str) -> str:
        find(question)
        agent = create_react_agent(ChatOpenAI(model="model/tide", temperature=0.2, default_headers=headers), [get_weather])
        said = agent.invoke({"messages": [("user", question)]})["messages"][-1].content
        for _ in ChatOpenAI(model="model/tide", stream_usage=True, default_headers=headers).stream("Hello"):
            pass
        try:
            ChatOpenAI(model="model/broken", max_retries=0, default_headers=headers).invoke("fail")
        except Exception as error:
            print("as expected:", type(error).__name__)
        return said

    answer("What is the weather in Paris?")
    wait_for_all_tracers()
    Client().flush()


def keep(bodies: list[tuple[str, bytes]]) -> dict[str, list[Any]]:
    """The runs of all requests, each put together from the parts of its multipart body."""
    batch: dict[str, dict[str, Any]] = {"post": {}, "patch": {}}
    for path, body in bodies:
        if path.endswith("/runs/batch"):
            for key, runs in json.loads(body).items():
                batch[key] |= {run["id"]: run for run in runs}
        elif path.endswith("/runs/multipart"):
            for name, value in parts(body):
                key, run, *field = name.split(".")
                if key in batch:
                    made = batch[key].setdefault(run, {})
                    made.update({field[0]: value} if field else value)
    for run in (*batch["post"].values(), *batch["patch"].values()):
        runtime = run.get("extra", {}).pop("runtime", {})  # names the machine
        if runtime:
            run["extra"]["runtime"] = {key: runtime[key] for key in ("sdk", "sdk_version", "runtime") if key in runtime}
    return {key: list(runs.values()) for key, runs in batch.items()}


def parts(body: bytes) -> list[tuple[str, Any]]:
    boundary = body.split(b"\r\n", 1)[0]
    found = []
    for piece in body.split(boundary):
        head, _, content = piece.strip(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]+)"', head)
        if name and content.strip():
            found.append((name[1].decode(), json.loads(content.strip())))
    return found
