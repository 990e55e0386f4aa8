"""CrewAI, by OpenInference's instrumentation: the same crew."""

from __future__ import annotations

from recorded import crewai

SCRIPT = crewai.SCRIPT


def instrument(spans: object) -> None:
    from openinference.instrumentation.crewai import CrewAIInstrumentor

    CrewAIInstrumentor().instrument(tracer_provider=spans)


def main() -> None:
    crewai.scenario(instrument)
