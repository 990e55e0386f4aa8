"""Spans out of a Phoenix server, as it gives them: a data frame by records and by columns, and its REST answer."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

SCRIPT = [{"when": "tide", "reply": "A tide mill grinds by the tide."}, {"reply": "Hello!"}]


def main() -> None:
    os.environ |= {"PHOENIX_WORKING_DIR": tempfile.mkdtemp(), "PHOENIX_TELEMETRY_ENABLED": "false", "PHOENIX_PORT": "6166",
                   "PHOENIX_GRPC_PORT": "6167", "PHOENIX_HOST": "127.0.0.1"}  # fmt: skip
    from openinference.instrumentation import using_attributes
    from openinference.instrumentation.openai import OpenAIInstrumentor
    from openinference.semconv.trace import SpanAttributes
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from phoenix.client import Client

    from recorded.mlflow_export import post

    server = subprocess.Popen([sys.executable, "-m", "phoenix.server.main", "serve"])
    for _ in range(120):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 6166), timeout=1):
            break
        time.sleep(1)
    spans = TracerProvider()
    spans.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter("http://127.0.0.1:6166/v1/traces")))
    OpenAIInstrumentor().instrument(tracer_provider=spans)
    from openai import OpenAI

    client = OpenAI(max_retries=0, default_headers={"x-tidemill-project": os.environ["X_TIDEMILL_PROJECT"]})
    tracer = spans.get_tracer("openinference.app")
    with (
        using_attributes(session_id="session-1", user_id="user-1", tags=["demo"]),
        tracer.start_as_current_span("answer") as root,
    ):
        root.set_attributes(
            {SpanAttributes.OPENINFERENCE_SPAN_KIND: "CHAIN", SpanAttributes.INPUT_VALUE: "What is a tide mill?"}
        )
        with tracer.start_as_current_span("find") as found:
            found.set_attributes({
                SpanAttributes.OPENINFERENCE_SPAN_KIND: "RETRIEVER", "retrieval.documents.0.document.content": "A mill.",
                "retrieval.documents.0.document.id": "d1", "retrieval.documents.0.document.score": 0.9,
            })  # fmt: skip
        client.chat.completions.create(
            model="model/tide", messages=[{"role": "user", "content": "What is a tide mill?"}], temperature=0.2
        )
        try:
            client.chat.completions.create(model="model/broken", messages=[{"role": "user", "content": "fail"}])
        except Exception as error:
            print("as expected:", type(error).__name__)
    reader = Client(base_url="http://127.0.0.1:6166")
    for _ in range(60):  # Phoenix stores them in the background
        frame = reader.spans.get_spans_dataframe(project_identifier="default")
        if len(frame) >= 4:
            break
        time.sleep(1)
    table = frame.reset_index(drop=True)
    listed = reader.spans.get_spans(project_identifier="default")
    post(
        "forms",
        {
            "records": json.loads(table.to_json(orient="records", date_format="iso", default_handler=str)),
            "columns": json.loads(frame.to_json(date_format="iso", default_handler=str)),
            "rest": {"data": json.loads(json.dumps(listed, default=str))},
        },
    )
    server.terminate()


def keep(bodies: list[tuple[str, bytes]]) -> Any:
    return next(json.loads(body) for path, body in bodies if path == "/forms")
