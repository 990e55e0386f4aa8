"""CrewAI, by OpenLLMetry's instrumentation: a crew of two, one with a tool that hands work over, and a refused call."""

from __future__ import annotations

import os

SCRIPT = [
    {"when": "(?i)weather in Paris", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]},
    {"when": "18 degrees", "reply": "Thought: I now can give a great answer\nFinal Answer: It is 18 degrees in Paris."},
    {"reply": "Thought: I now can give a great answer\nFinal Answer: Hello!"},
]


def instrument(spans: object) -> None:
    from opentelemetry.instrumentation.crewai import CrewAIInstrumentor

    CrewAIInstrumentor().instrument(tracer_provider=spans)


def main() -> None:
    scenario(instrument)


def scenario(instrumented: object) -> None:
    os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false", "CREWAI_TESTING": "true",
                   "TRACELOOP_TRACE_CONTENT": "true", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ""}  # fmt: skip
    from recorded.exporting import provider

    spans = provider()
    instrumented(spans)
    from crewai import LLM, Agent, Crew, Process, Task
    from crewai.tools import tool

    @tool("get_weather")
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"18 degrees in {city}"

    def model(name: str = "model/tide") -> LLM:
        return LLM(
            model=f"openai/{name}", base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"], max_retries=0,
            temperature=0.2, default_headers={"x-tidemill-project": os.environ["X_TIDEMILL_PROJECT"]},
        )  # fmt: skip

    forecaster = Agent(role="Forecaster", goal="Know the weather", backstory="A sailor.", llm=model(), tools=[get_weather])
    writer = Agent(role="Writer", goal="Write it down", backstory="A poet.", llm=model())
    look = Task(description="What is the weather in Paris?", expected_output="One sentence.", agent=forecaster)
    write = Task(description="Say hello.", expected_output="One word.", agent=writer, context=[look])
    Crew(name="desk", agents=[forecaster, writer], tasks=[look, write], process=Process.sequential, tracing=False).kickoff()
    try:
        broken = Agent(role="Broken", goal="Fail", backstory="None.", llm=model("model/broken"), max_iter=1, max_retry_limit=0)
        Crew(agents=[broken], tasks=[Task(description="fail", expected_output="none", agent=broken)], tracing=False).kickoff()
    except Exception as error:
        print("as expected:", type(error).__name__)
    spans.force_flush()
