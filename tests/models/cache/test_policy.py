"""What documents may say of kept answers, and what is wrong with what they say."""

from __future__ import annotations

import pytest

from models.calls import MemoryFiles
from tidemill.core.chat import ChatResponse, Choice, TokenLogprob, Usage
from tidemill.core.errors import Invalid, Unavailable
from tidemill.core.parts import Message, Reasoning, Text, ToolCall
from tidemill.models.cache.policy import CachePolicy, Semantic, policy_of, read_cache
from tidemill.models.cache.written import from_bytes, to_bytes
from tidemill.models.kinds import ModelKind
from tidemill.serve.kinds import EndpointKind

SEMANTIC = {"embedder": "embedder/words", "threshold": 0.9}


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        ("on", CachePolicy()),
        (True, CachePolicy(ttl=3600, share="user")),
        ({"ttl": "7d", "share": "project"}, CachePolicy(ttl=604800, share="project")),
        ({"semantic": SEMANTIC}, CachePolicy(semantic=Semantic(embedder="embedder/words", threshold=0.9))),
        ({"semantic": "off"}, CachePolicy()),
        ("off", None),
        (False, None),
    ],
)
def test_what_is_written_is_what_holds(written, policy):
    spec = read_cache(written)
    assert policy_of(spec) == policy
    if spec is not None:
        assert read_cache(spec) == spec


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ("sometimes", "cache"),
        (7, "cache"),
        ({"tll": "1h"}, "cache.tll"),
        ({"ttl": "soon"}, "cache.ttl"),
        ({"share": "everybody"}, "cache.share"),
        ({"share": ["user"]}, "cache.share"),
        ({"semantic": True}, "cache.semantic"),
        ({"semantic": {"threshold": 0.9}}, "cache.semantic.embedder"),
        ({"semantic": {**SEMANTIC, "embedder": "model/words"}}, "cache.semantic.embedder"),
        ({"semantic": {**SEMANTIC, "threshold": 1.2}}, "cache.semantic.threshold"),
        ({"semantic": {**SEMANTIC, "threshold": True}}, "cache.semantic.threshold"),
        ({"semantic": {**SEMANTIC, "near": 1}}, "cache.semantic.near"),
    ],
)
def test_a_mistake_is_named_with_its_place_by_either_kind(written, where):
    for kind, body in ((ModelKind(), {"provider": "test"}), (EndpointKind(), {"app": "model/m"})):
        with pytest.raises(Invalid) as wrong:
            kind.parse({**body, "cache": written}, files=MemoryFiles())
        assert [each.where for each in wrong.value.problems] == [where]


def test_a_model_without_a_cache_is_the_same_version_as_one_that_says_off():
    kind, files = ModelKind(), MemoryFiles()
    plain = kind.parse({"provider": "test"}, files=files)
    assert kind.parse({"provider": "test", "cache": "off", "prompt_cache": True}, files=files).spec == plain.spec
    meant = kind.parse({"provider": "test", "cache": {"semantic": SEMANTIC}}, files=files)
    assert "embedder/words" in meant.references.values()


def test_an_answer_comes_back_as_it_was():
    logprobs = (TokenLogprob(token="é", logprob=-0.5, top=(("e", -1.0),), data=b"\xc3", top_data=(None,)),)
    message = Message(
        role="assistant",
        parts=(
            Reasoning(text="hm", signature="sealed"),
            Text(text="three \ud83d".encode("utf-16", "surrogatepass").decode("utf-16", "replace")),
            ToolCall(id="1", name="tide", arguments='{"at": '),
        ),
        extra={"openai.chat": {"annotations": []}},
    )
    other = Choice(index=1, message=Message.of("assistant", "four"), finish_reason="length", logprobs=logprobs)
    response = ChatResponse(
        message=message, finish_reason="tool_calls", usage=Usage(input_tokens=3, cached_tokens=1), model="m", fingerprint="f",
        logprobs=logprobs, others=(other,), extra={"openai.chat": {"id": "x"}},
    )  # fmt: skip
    assert from_bytes(to_bytes(response)) == response
    with pytest.raises(Unavailable):
        from_bytes(b"nothing")
