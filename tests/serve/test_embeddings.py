"""`/v1/embeddings`, `/v1/rerank` and `/v1/moderations` over the embedders and guardrails of a project."""

import base64
import struct

import openai
import pytest

from serve.platform import serving

pytestmark = pytest.mark.anyio

APP = """
kind: embedder
name: words
provider: test
---
kind: model
name: echo
provider: test
"""

GUARDED = """
kind: guardrail
name: rude
on: input
check: {denylist: {words: [blockhead]}}
"""


async def test_vectors_are_numbers_or_base64_and_the_same(tmp_path):
    async with serving(tmp_path, APP) as platform:
        api = await platform.client()
        as_numbers = await api.embeddings.create(model="embedder/words", input=["high water", "low"], encoding_format="float")
        assert [each.index for each in as_numbers.data] == [0, 1]
        assert len(as_numbers.data[0].embedding) == 64
        assert (as_numbers.usage.prompt_tokens, as_numbers.usage.total_tokens) == (3, 3)
        http = await platform.http()
        asked = {"model": "embedder/words", "input": "high water", "encoding_format": "base64"}
        packed = (await http.post("/v1/embeddings", json=asked)).json()["data"][0]["embedding"]
        assert list(struct.unpack("<64f", base64.b64decode(packed))) == as_numbers.data[0].embedding
        by_default = await api.embeddings.create(model="embedder/words", input="high water")
        assert by_default.data[0].embedding == as_numbers.data[0].embedding
        short = await api.embeddings.create(model="embedder/words", input="high water", dimensions=16)
        assert len(short.data[0].embedding) == 16
        roots = platform.roots
        assert {each.kind for each in roots} == {"embedding"}
        assert "embedder/words" in [each.id async for each in api.models.list()]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [1, 2, 3]}, "input"),
        ({"input": [[1, 2], [3]]}, "input"),
        ({"input": ["", "x"]}, "input[0]"),
        ({"input": "x", "dimensions": 0}, "dimensions"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "x", "model": "chain/none"}, "model"),
        ({"input": "x", "model": "model/echo"}, "model"),
    ],
)
async def test_what_cannot_be_embedded_is_refused_with_its_place(tmp_path, given, param):
    async with serving(tmp_path, APP) as platform:
        api = await platform.client()
        with pytest.raises(openai.APIStatusError) as caught:
            await api.embeddings.create(**{"model": "embedder/words", **given})
        assert caught.value.status_code in {400, 404}
        assert caught.value.param == param


async def test_documents_are_ranked_by_an_embedder(tmp_path):
    async with serving(tmp_path, APP) as platform:
        http = await platform.http()
        asked = {
            "model": "embedder/words", "query": "when is high water", "top_n": 2, "return_documents": True,
            "documents": ["a red bus", {"text": "high water is at noon"}, "water"],
        }  # fmt: skip
        body = (await http.post("/v1/rerank", json=asked)).json()
        assert (len(body["results"]), body["results"][0]["index"]) == (2, 1)
        assert body["results"][0]["document"] == {"text": "high water is at noon"}
        scores = [each["relevance_score"] for each in body["results"]]
        assert scores == sorted(scores, reverse=True)
        assert body["usage"]["total_tokens"] > 0
        for wrong, param in (({"documents": []}, "documents"), ({"top_n": 0}, "top_n"), ({"query": None}, "query")):
            refused = await http.post("/v1/rerank", json={**asked, **wrong})
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


async def test_a_guardrail_says_whether_a_text_is_moderated(tmp_path):
    async with serving(tmp_path, GUARDED) as platform:
        api = await platform.client()
        verdict = await api.moderations.create(model="guardrail/rude", input=["have a nice day", "you blockhead"])
        assert [each.flagged for each in verdict.results] == [False, True]
        assert verdict.results[1].categories.violence is False
        assert any(verdict.results[1].model_dump()["categories"].values())
        with pytest.raises(openai.BadRequestError) as caught:
            await api.moderations.create(model="guardrail/rude", input=[{"type": "image_url", "image_url": {"url": "x"}}])
        assert caught.value.param == "input[0]"
