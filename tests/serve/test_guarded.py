"""Guardrails of models and endpoints, as clients meet them at every door."""

from __future__ import annotations

import pytest

from serve.guarded import guarding

pytestmark = pytest.mark.anyio

SECRET = "sk-abcdef012345"
MODELS = """
kind: model
name: echo
provider: test
guardrails: [guardrail/secrets, guardrail/asked, guardrail/denied, guardrail/words]
---
kind: model
name: leaky
provider: test
reply: "the key is sk-abcdef012345, keep it"
guardrails: [guardrail/secrets]
"""


async def test_an_answer_is_given_as_the_guardrail_leaves_it(tmp_path):
    async with guarding(tmp_path, MODELS) as platform:
        client = await platform.client()
        answer = await client.chat.completions.with_raw_response.create(
            model="model/leaky", messages=[{"role": "user", "content": "the key?"}]
        )
        assert answer.parse().choices[0].message.content == "the key is [secret], keep it"
        assert answer.headers["x-tidemill-guardrails"] == "secrets=redact"
        stream = await client.chat.completions.create(
            model="model/leaky", messages=[{"role": "user", "content": "the key?"}], stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(pieces) == "the key is [secret], keep it"
