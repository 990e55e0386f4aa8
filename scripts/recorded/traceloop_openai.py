"""OpenAI's client by OpenLLMetry's instrumentation."""

from __future__ import annotations

import os

from recorded import openai_app

SCRIPT = openai_app.SCRIPT


def main() -> None:
    os.environ["TRACELOOP_TRACE_CONTENT"] = "true"
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    from recorded.exporting import provider

    spans = provider()
    OpenAIInstrumentor().instrument(tracer_provider=spans)
    openai_app.run()
    spans.force_flush()
