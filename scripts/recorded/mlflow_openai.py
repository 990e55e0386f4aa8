"""OpenAI's client and functions by MLflow's tracing, sent over OTLP."""

from __future__ import annotations

import os

from recorded import openai_app

SCRIPT = openai_app.SCRIPT


def main() -> None:
    os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = os.environ["CAPTURE_URL"] + "/v1/traces"
    os.environ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"
    os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
    import mlflow
    from mlflow.entities import Document, SpanType

    mlflow.openai.autolog()

    @mlflow.trace(span_type=SpanType.RETRIEVER)
    def search(query: str) -> list[Document]:
        return [Document(page_content=f"About {query}", metadata={"doc_uri": "mills.md"}, id="d1")]

    @mlflow.trace(span_type=SpanType.TOOL)
    def get_weather(city: str) -> str:
        return f"18 degrees in {city}"

    @mlflow.trace(span_type=SpanType.AGENT)
    def agent(question: str) -> str:
        mlflow.update_current_trace(metadata={"mlflow.trace.session": "talk-1", "mlflow.trace.user": "ada"})
        search(question)
        get_weather("Paris")
        openai_app.run()
        return "It is 18 degrees."

    agent("What is a tide mill?")
