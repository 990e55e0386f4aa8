"""MLflow's `trace.to_json()` and the data frame of `search_traces()`: an agent with a tool and a retriever, a refused call."""

from __future__ import annotations

import json
import os
import tempfile
import urllib.request
from typing import Any

SCRIPT = [
    {"when": "(?i)weather in Paris", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]},
    {"when": "18 degrees", "reply": "It is 18 degrees in Paris."},
]
_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}


def main() -> None:
    folder = tempfile.mkdtemp()
    os.environ |= {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true"}
    os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
    os.environ.pop("OTEL_EXPORTER_OTLP_ENDPOINT")  # it would send its spans there, and keep none
    import mlflow
    from mlflow.entities import Document
    from openai import OpenAI

    mlflow.set_experiment("mills")
    mlflow.openai.autolog()
    client = OpenAI(max_retries=0, default_headers={"x-tidemill-project": os.environ["X_TIDEMILL_PROJECT"]})

    @mlflow.trace(span_type="RETRIEVER")
    def find(query: str) -> list[Document]:  # noqa: ARG001  (what is recorded)
        return [Document(page_content="Paris is in France.", metadata={"doc_uri": "atlas"}, id="d1")]

    @mlflow.trace(span_type="TOOL")
    def get_weather(city: str) -> str:
        return f"18 degrees in {city}"

    @mlflow.trace(span_type="AGENT", name="agent")
    def agent(question: str) -> str:
        mlflow.update_current_trace(
            metadata={"mlflow.trace.user": "user-1", "mlflow.trace.session": "session-1"}, tags={"topic": "weather"}
        )
        find(question)
        messages: list[Any] = [{"role": "user", "content": question}]
        first = client.chat.completions.create(model="model/tide", messages=messages, tools=[_TOOL], temperature=0.2)
        messages += [first.choices[0].message.model_dump(exclude_none=True)]
        messages += [
            {"role": "tool", "tool_call_id": first.choices[0].message.tool_calls[0].id, "content": get_weather("Paris")}
        ]
        return client.chat.completions.create(model="model/tide", messages=messages).choices[0].message.content

    agent("What is the weather in Paris?")
    try:
        client.chat.completions.create(model="model/broken", messages=[{"role": "user", "content": "fail"}])
    except Exception as error:
        print("as expected:", type(error).__name__)
    traces = mlflow.search_traces(return_type="list")
    post("traces", [json.loads(each.to_json()) for each in traces])


def post(path: str, document: object) -> None:
    request = urllib.request.Request(f"{os.environ['CAPTURE_URL']}/{path}", json.dumps(document).encode())  # noqa: S310
    urllib.request.urlopen(request).close()  # noqa: S310


def keep(bodies: list[tuple[str, bytes]]) -> list[Any]:
    traces = next(json.loads(body) for path, body in bodies if path == "/traces")
    for trace in traces:
        for name in ("mlflow.artifactLocation", "service.instance.id"):
            trace["info"]["tags"].pop(name, None)
        for name in ("trace_metadata", "request_metadata"):  # who ran it, and where
            kept = trace["info"].get(name, {})
            trace["info"][name] = {
                key: each for key, each in kept.items() if not key.startswith(("mlflow.source", "mlflow.user"))
            }
    return traces
