"""Vectors that are kept, and embedders behind a route, as clients meet them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from serve.kept import keeping
from serve.platform import PROJECT, serving
from tidemill.core.errors import Invalid
from tidemill.store.kept_answers import count_answers, forget_answers_of

pytestmark = pytest.mark.anyio

KEPT = """
kind: embedder
name: words
provider: test
cache: {ttl: 1h, share: project}
---
kind: embedder
name: mine
provider: test
cache: on
---
kind: embedder
name: plain
provider: test
"""
NOWHERE = "http://127.0.0.1:9"
ROUTED = f"""
kind: connection
name: gone
provider: openai
base_url: "{NOWHERE}"
allow_private: true
---
kind: embedder
name: gone
provider: openai
model: words
connection: gone
---
kind: embedder
name: here
provider: test
model: words
---
kind: route
name: vectors
targets: [embedder/gone, embedder/here]
fallback: {{retries: 0}}
cache: {{share: project}}
---
kind: model
name: echo
provider: test
---
kind: route
name: answers
targets: [model/echo]
cache: on
"""


async def embed(http, *texts, model="embedder/words", headers=None, **fields):
    answer = await http.post("/v1/embeddings", json={"model": model, "input": list(texts), **fields}, headers=headers or {})
    assert answer.status_code == 200, answer.text
    return answer, [each["embedding"] for each in answer.json()["data"]]


def said_of(answer):
    return answer.headers["x-tidemill-cache"]


async def test_each_text_is_embedded_once(tmp_path):
    async with keeping(tmp_path, KEPT) as kept:
        http = await kept.platform.http()
        first, before = await embed(http, "high water", "low water")
        again, after = await embed(http, "low water", "high water")
        assert (said_of(first), said_of(again)) == ("miss", "hit")
        assert after == before[::-1]
        assert again.json()["usage"]["total_tokens"] == 0
        assert kept.gate.count == 1
        partly, vectors = await embed(http, "high water", "a boat", "low water")
        assert said_of(partly) == "miss"
        assert (vectors[0], vectors[2]) == (before[0], before[1])
        assert partly.json()["usage"]["total_tokens"] == 2  # of a boat alone
        assert kept.gate.count == 2


async def test_other_dimensions_and_other_callers_are_other_vectors(tmp_path):
    async with keeping(tmp_path, KEPT) as kept:
        http = await kept.platform.http()
        await embed(http, "tide")
        short, (vector,) = await embed(http, "tide", dimensions=16)
        assert (said_of(short), len(vector)) == ("miss", 16)
        assert said_of((await embed(http, "tide", dimensions=16))[0]) == "hit"
        for user, told in (("ana", "miss"), ("ben", "miss"), ("ana", "hit")):
            answer, _ = await embed(http, "tide", model="embedder/mine", headers={"x-tidemill-user": user})
            assert said_of(answer) == told
        assert said_of((await embed(http, "tide", model="embedder/plain"))[0]) == "off"


async def test_a_request_says_what_it_wants_of_kept_vectors_and_they_go_with_the_user(tmp_path):
    async with keeping(tmp_path, KEPT) as kept:
        http = await kept.platform.http()

        async def asked(control, *texts):
            answer, _ = await embed(http, *texts, headers={"x-tidemill-cache-control": control, "x-tidemill-user": "ana"})
            return said_of(answer)

        missing = {"x-tidemill-cache-control": "only-if-cached"}
        refused = await http.post("/v1/embeddings", json={"model": "embedder/words", "input": "ebb"}, headers=missing)
        assert refused.status_code == 404
        assert await asked("no-store", "ebb") == "miss"
        assert await asked("", "ebb") == "miss"
        assert await asked("only-if-cached", "ebb") == "hit"
        assert await asked("no-cache", "ebb") == "miss"
        assert await asked("off", "ebb") == "off"
        kept.clock.late = 1800
        assert await asked("max-age=60", "ebb") == "miss"
        kept.clock.late = 10_000
        assert await asked("", "ebb") == "miss"
        await kept.answers.flush()
        database = kept.platform.database
        assert (await database.read(lambda db: count_answers(db, PROJECT)))[0] == 1
        await database.write(lambda db: forget_answers_of(db, PROJECT, "user", ["ana"]))
        assert await asked("", "ebb") == "miss"


async def test_what_is_not_written_yet_is_as_old_as_what_is(tmp_path):
    async with keeping(tmp_path, KEPT) as kept:
        http = await kept.platform.http()
        busy = threading.Event()
        held = asyncio.create_task(kept.platform.database.write(lambda _: busy.wait()))
        try:
            assert [said_of((await embed(http, "ebb"))[0]) for _ in range(2)] == ["miss", "hit"]
            kept.clock.late = 3601
            assert said_of((await embed(http, "ebb"))[0]) == "miss"
        finally:
            busy.set()
            await held


async def test_another_embedder_takes_the_place_of_one_that_fails(tmp_path):
    async with keeping(tmp_path, ROUTED) as kept:
        http = await kept.platform.http()
        answer, _ = await embed(http, "high water", model="route/vectors")
        assert answer.headers["x-tidemill-target"] == "embedder/here"
        assert answer.headers["x-tidemill-attempts"] == "2"
        direct, vectors = await embed(http, "high water", model="embedder/here")
        assert (said_of(answer), said_of(direct)) == ("miss", "off")
        again, found = await embed(http, "high water", model="route/vectors")
        assert (said_of(again), found) == ("hit", vectors)
        attempts = [each for each in kept.platform.spans if each.name.startswith("embedder/")]
        assert [(each.name, each.kind, each.status) for each in attempts] == [
            ("embedder/gone", "embedding", "error"), ("embedder/here", "embedding", "ok"),
        ]  # fmt: skip
        rerank = {"model": "route/vectors", "query": "high water", "documents": ["a boat", "high water"]}
        ranked = await http.post("/v1/rerank", json=rerank)
        assert [each["index"] for each in ranked.json()["results"]] == [1, 0]


async def test_a_route_of_embedders_holds_no_conversations_and_one_of_models_makes_no_vectors(tmp_path):
    async with serving(tmp_path, ROUTED) as platform:
        http = await platform.http()
        talk = {"model": "route/vectors", "messages": [{"role": "user", "content": "x"}]}
        refused = await http.post("/v1/chat/completions", json=talk)
        assert refused.status_code == 400
        assert "makes vectors, and no answers" in refused.json()["error"]["message"]
        refused = await http.post("/v1/embeddings", json={"model": "route/answers", "input": "x"})
        assert refused.status_code == 400


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            "{kind: embedder, name: b, provider: test, model: other}",
            "embedder/b makes other vectors than embedder/a: their model",
        ),
        ("{kind: embedder, name: b, provider: test, model: words, dimensions: 8}", "their dimensions differ"),
        ("{kind: model, name: b, provider: test, model: words}", "models and embedders are mixed"),
    ],
)
async def test_targets_that_make_other_vectors_are_refused_when_they_are_applied(tmp_path, other, said):
    kind = "model" if "kind: model" in other else "embedder"
    text = f"""
{{kind: embedder, name: a, provider: test, model: words}}
---
{other}
---
{{kind: route, name: r, targets: [embedder/a, {kind}/b]}}
"""
    async with serving(tmp_path) as platform:
        with pytest.raises(Invalid) as caught:
            await platform.apply(text)
    assert any(said in each.message for each in caught.value.problems)


async def test_what_a_route_keeps_is_given_again(tmp_path):
    async with keeping(tmp_path, ROUTED) as kept:
        http = await kept.platform.http()
        asked = [await kept.ask(http=http, model="route/answers") for _ in range(2)]
        assert [said_of(each) for each in asked] == ["miss", "hit"]
        assert kept.gate.count == 1
