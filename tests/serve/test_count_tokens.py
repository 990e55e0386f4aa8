"""`/v1/messages/count_tokens` as the stock client sees it."""

import anthropic
import pytest

from models.upstream import answering, serve_upstream
from serve.platform import serving

pytestmark = pytest.mark.anyio

APP = """
kind: connection
name: anthropic
provider: anthropic
base_url: {url}
allow_private: true
---
kind: model
name: claude
provider: anthropic
model: real-name
---
kind: model
name: echo
provider: test
"""
ASKED = [{"role": "user", "content": "When is high water?"}]


async def test_the_provider_counts_where_it_can_and_else_it_is_an_estimate(tmp_path):
    async with serve_upstream() as upstream, serving(tmp_path, APP.format(url=upstream.url)) as platform:
        upstream.behave = answering((200, {"input_tokens": 14}, {}))
        async with anthropic.AsyncAnthropic(api_key=await platform.key(), base_url=platform.url, max_retries=0) as api:
            counted = await api.messages.count_tokens(model="model/claude", messages=ASKED)
            assert counted.input_tokens == 14
            assert (upstream.paths, upstream.bodies[0]["model"]) == (["/v1/messages/count_tokens"], "real-name")
            estimated = await api.messages.count_tokens(model="model/echo", messages=ASKED, system="Be brief.")
            assert 5 < estimated.input_tokens < 30
            assert estimated.tidemill == {"estimated": True}
            with pytest.raises(anthropic.NotFoundError):
                await api.messages.count_tokens(model="chain/none", messages=ASKED)
            with pytest.raises(anthropic.BadRequestError):
                await api.messages.count_tokens(model="model/echo", messages=[])
