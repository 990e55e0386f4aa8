"""Google's ADK, by its own spans, over LiteLLM: a tool, a hand-over to another agent, a stream, a refused call."""

from __future__ import annotations

import asyncio
import os

SCRIPT = [
    {"when": "(?i)weather in Paris", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Paris"}}]},
    {"when": "(?i)refund", "tool_calls": [{"name": "transfer_to_agent", "arguments": {"agent_name": "billing"}}]},
    {"when": "18 degrees", "reply": "It is 18 degrees in Paris."},
    {"reply": "Done."},
]


def main() -> None:
    from recorded.exporting import provider

    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS"] = "true"
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_AND_EVENT"
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
    spans = provider()
    asyncio.run(scenario())
    spans.force_flush()


def get_weather(city: str) -> dict[str, str]:
    """The weather in a city."""
    return {"weather": f"18 degrees in {city}"}


async def scenario() -> None:
    from google.adk.agents import LlmAgent, RunConfig
    from google.adk.agents.run_config import StreamingMode
    from google.adk.models.lite_llm import LiteLlm
    from google.adk.runners import InMemoryRunner
    from google.genai import types

    def model(name: str = "model/tide") -> LiteLlm:
        return LiteLlm(
            model=f"openai/{name}", api_base=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"],
            extra_headers={"x-tidemill-project": os.environ["X_TIDEMILL_PROJECT"]}, num_retries=0,
        )  # fmt: skip

    async def run(agent: LlmAgent, text: str, **options: object) -> None:
        runner = InMemoryRunner(agent=agent, app_name="desk_app")
        session = await runner.session_service.create_session(app_name="desk_app", user_id="user-1", session_id="session-1")
        content = types.Content(role="user", parts=[types.Part(text=text)])
        async for _ in runner.run_async(user_id="user-1", session_id=session.id, new_message=content, **options):
            pass

    billing = LlmAgent(name="billing", model=model(), description="Refunds.", instruction="Refund.")
    desk = LlmAgent(name="desk", model=model(), instruction="Be brief.", tools=[get_weather], sub_agents=[billing])
    await run(desk, "What is the weather in Paris?")
    await run(desk.clone() if hasattr(desk, "clone") else desk, "I want a refund.")
    await run(LlmAgent(name="greeter", model=model()), "Hello", run_config=RunConfig(streaming_mode=StreamingMode.SSE))
    try:
        await run(LlmAgent(name="broken", model=model("model/broken")), "fail")
    except Exception as error:
        print("as expected:", type(error).__name__)
