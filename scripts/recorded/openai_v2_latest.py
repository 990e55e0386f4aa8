"""OpenAI's client by OpenTelemetry's own instrumentation: structured messages on the span, as the newest conventions say."""

from __future__ import annotations

import os

from recorded import openai_v2

SCRIPT = openai_v2.SCRIPT


def main() -> None:
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_ONLY"
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    from recorded import openai_app
    from recorded.exporting import provider

    spans = provider()
    OpenAIInstrumentor().instrument(tracer_provider=spans)
    openai_app.run()
    spans.force_flush()
