"""OpenAI's client by OpenTelemetry's own instrumentation: content as events, the first generation of the conventions."""

from __future__ import annotations

import os

from recorded import openai_app

SCRIPT = openai_app.SCRIPT


def main() -> None:
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "true"
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    from recorded.exporting import log_provider, provider

    spans, logs = provider(), log_provider()
    OpenAIInstrumentor().instrument(tracer_provider=spans, logger_provider=logs)
    openai_app.run()
    spans.force_flush()
    logs.force_flush()
