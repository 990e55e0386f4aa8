"""`/v1/completions` as the stock client sees it."""

import openai
import pytest

from serve.platform import serving

pytestmark = pytest.mark.anyio

APP = """
kind: model
name: echo
provider: test
reply: "said: {{input}}"
"""


async def test_a_text_is_answered_with_a_text(tmp_path):
    async with serving(tmp_path, APP) as platform:
        await platform.deploy("model/echo", "echo")
        api = await platform.client()
        for name in ("echo", "model/echo"):
            answer = await api.completions.create(model=name, prompt="High water?", max_tokens=50, user="ada")
            assert answer.choices[0].text == "said: High water?"
            assert (answer.object, answer.choices[0].finish_reason) == ("text_completion", "stop")
            assert answer.usage.total_tokens > 0
        short = await api.completions.create(model="model/echo", prompt="High water?", max_tokens=2, logprobs=1)
        assert (short.choices[0].text, short.choices[0].finish_reason) == ("said: High", "length")
        assert short.choices[0].logprobs.text_offset == [0, 5]


async def test_a_stream_ends_with_its_reason_and_usage(tmp_path):
    async with serving(tmp_path, APP) as platform:
        api = await platform.client()
        stream = await api.completions.create(
            model="model/echo", prompt=["High water?"], stream=True, stream_options={"include_usage": True}
        )
        chunks = [each async for each in stream]
        assert "".join(each.choices[0].text for each in chunks if each.choices) == "said: High water?"
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].usage.completion_tokens == 3


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"echo": True}, "echo"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"prompt": ["one", "two"]}, "prompt"),
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": ""}, "prompt"),
    ],
)
async def test_what_no_chat_model_can_be_told_is_refused(tmp_path, given, param):
    async with serving(tmp_path, APP) as platform:
        api = await platform.client()
        with pytest.raises(openai.BadRequestError) as caught:
            await api.completions.create(**{"model": "model/echo", "prompt": "x", **given})
        assert caught.value.param == param
