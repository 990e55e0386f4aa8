"""Frameworks as clients, each in its own words. Those that are not installed are left out."""

import json
import os
import shutil
import subprocess

import anthropic
import anyio
import anyio.to_thread
import openai
import pytest

from serve.platform import serving

APP = """
kind: model
name: tooled
provider: test
script:
  - {when: It rains, reply: It is wet.}
  - when: weather
    reply: Let me look.
    tool_calls: [{id: t1, name: weather, arguments: {city: Oslo}}]
  - {reply: "said: {{input}}"}
---
kind: prompt
name: answer
text: "{{question}}"
---
kind: chain
name: tide
inputs: {question: string}
steps:
  - {id: answer, prompt: prompt/answer, model: model/tooled, with: {question: "{{question}}"}}
output: "{{answer.text}}"
"""

VERCEL = """
import { createOpenAI } from "@ai-sdk/openai";
import { createAnthropic } from "@ai-sdk/anthropic";
import { generateText, jsonSchema, streamText, stepCountIs, tool } from "ai";

const [url, apiKey, kind] = process.argv.slice(2);
const made = kind === "anthropic" ? createAnthropic({ baseURL: url, apiKey }) : createOpenAI({ baseURL: url, apiKey });
const model = (name) => (kind === "chat" ? made.chat(name) : made(name));
const asked = { maxRetries: 0, providerOptions: { openai: { store: false } } };
const whole = await generateText({ model: model("endpoint/tide"), prompt: "High water?", ...asked });
const stream = streamText({ model: model("model/tooled"), prompt: "High water?", ...asked });
let streamed = "";
for await (const each of stream.textStream) streamed += each;
const inputSchema = jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] });
const weather = tool({ description: "", inputSchema, execute: async ({ city }) => `It rains in ${city}.` });
const called = await generateText({
  model: model("model/tooled"), prompt: "weather?", tools: { weather }, stopWhen: stepCountIs(3), ...asked,
});
console.log(JSON.stringify([whole.text, streamed, called.text]));
"""


def weather(city: str) -> str:
    """The weather of a city."""
    return f"It rains in {city}."


def told(tmp_path, ask):
    """Run `ask(url, key)` in a thread, beside a server with an endpoint."""

    async def work():
        async with serving(tmp_path, APP) as platform:
            await platform.deploy("chain/tide", "tide")
            return await anyio.to_thread.run_sync(ask, platform.url, await platform.key())

    return anyio.run(work)


@pytest.mark.parametrize("responses", [False, True])
def test_langchain_as_a_client_of_openai(tmp_path, responses):
    chat_openai = pytest.importorskip("langchain_openai").ChatOpenAI

    def ask(url, key):
        def model(name):
            return chat_openai(base_url=f"{url}/v1", api_key=key, model=name, use_responses_api=responses, max_retries=0)

        plain = model("endpoint/tide").invoke("High water?")
        streamed = "".join(each.text for each in model("model/tooled").stream("High water?"))
        called = model("model/tooled").bind_tools([weather]).invoke("weather?")
        return plain.text, streamed, [(each["name"], each["args"]) for each in called.tool_calls], plain.usage_metadata

    plain, streamed, calls, usage = told(tmp_path, ask)
    assert plain == streamed == "said: High water?"
    assert calls == [("weather", {"city": "Oslo"})]
    assert usage["input_tokens"] > 0


def test_langchain_as_a_client_of_anthropic(tmp_path):
    chat_anthropic = pytest.importorskip("langchain_anthropic").ChatAnthropic

    def ask(url, key):
        def model(name):
            return chat_anthropic(base_url=url, api_key=key, model=name, max_tokens=100, max_retries=0)

        streamed = "".join(each.text for each in model("model/tooled").stream("High water?"))
        called = model("model/tooled").bind_tools([weather]).invoke("weather?")
        return model("endpoint/tide").invoke("High water?").text, streamed, called.tool_calls[0]["args"]

    assert told(tmp_path, ask) == ("said: High water?", "said: High water?", {"city": "Oslo"})


@pytest.mark.filterwarnings("ignore")  # those of its own types
@pytest.mark.parametrize("dialect", ["openai", "anthropic", "text-completion-openai"])
def test_litellm_as_a_client(tmp_path, monkeypatch, dialect):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "true")  # else its import asks the network for prices
    litellm = pytest.importorskip("litellm")

    def ask(url, key):
        base = url if dialect == "anthropic" else f"{url}/v1"
        said = {"api_base": base, "api_key": key, "messages": [{"role": "user", "content": "High water?"}], "max_tokens": 50}
        whole = litellm.completion(model=f"{dialect}/endpoint/tide", **said)
        stream = litellm.completion(model=f"{dialect}/model/tooled", stream=True, **said)
        return whole.choices[0].message.content, "".join(each.choices[0].delta.content or "" for each in stream)

    assert told(tmp_path, ask) == ("said: High water?", "said: High water?")


@pytest.mark.parametrize("kind", ["chat", "responses", "anthropic"])
def test_the_sdk_of_vercel_as_a_client(tmp_path, kind):
    modules, node = os.environ.get("TIDEMILL_NODE_MODULES"), shutil.which("node")
    if not modules or not node:
        pytest.skip("set TIDEMILL_NODE_MODULES to a node_modules with ai, @ai-sdk/openai and @ai-sdk/anthropic")
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "ask.mjs").write_text(VERCEL, "utf-8")

    def ask(url, key):
        command = (node, "ask.mjs", f"{url}/v1", key, kind)
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])  # its warnings come before

    assert told(tmp_path, ask) == ["said: High water?", "said: High water?", "It is wet."]


@pytest.mark.parametrize("kind", ["chat", "responses", "anthropic"])
def test_pydantic_ai_as_a_client(tmp_path, kind):
    agents = pytest.importorskip("pydantic_ai")

    def model(client):
        if kind == "anthropic":
            models = pytest.importorskip("pydantic_ai.models.anthropic")
            providers = pytest.importorskip("pydantic_ai.providers.anthropic")
            return models.AnthropicModel("model/tooled", provider=providers.AnthropicProvider(anthropic_client=client))
        models = pytest.importorskip("pydantic_ai.models.openai")
        providers = pytest.importorskip("pydantic_ai.providers.openai")
        made = models.OpenAIChatModel if kind == "chat" else models.OpenAIResponsesModel
        return made("model/tooled", provider=providers.OpenAIProvider(openai_client=client))

    async def work():
        async with serving(tmp_path, APP) as platform:
            key = await platform.key()
            client = (
                anthropic.AsyncAnthropic(base_url=platform.url, api_key=key)
                if kind == "anthropic"
                else openai.AsyncOpenAI(base_url=f"{platform.url}/v1", api_key=key)
            )
            async with client:
                agent = agents.Agent(model(client), tools=[weather])
                return (await agent.run("weather?")).output

    assert anyio.run(work) == "It is wet."
