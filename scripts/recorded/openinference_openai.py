"""OpenAI's client by OpenInference's instrumentation."""

from __future__ import annotations

from recorded import openai_app

SCRIPT = openai_app.SCRIPT


def main() -> None:
    from openinference.instrumentation import using_attributes
    from openinference.instrumentation.openai import OpenAIInstrumentor

    from recorded.exporting import provider

    spans = provider()
    OpenAIInstrumentor().instrument(tracer_provider=spans)
    with using_attributes(session_id="talk-1", user_id="ada", tags=["mill", "demo"], metadata={"plan": "free"}):
        openai_app.run()
    spans.force_flush()
