"""Kept answers as clients meet them."""

from __future__ import annotations

import asyncio

import anthropic
import httpx
import openai
import pytest

from serve.kept import keeping, said
from serve.platform import PROJECT
from tidemill.core.errors import Unavailable
from tidemill.store.kept_answers import count_answers, forget_answers_of

pytestmark = pytest.mark.anyio

BREAKING = """
kind: model
name: kept
provider: test
tokens_per_second: 50
script: [{when: break, reply: one two three four, status: 500, after_tokens: 2}, {when: leave, reply: one two three four}]
reply: one two three
cache: on
"""


async def test_an_answer_is_given_again_costs_nothing_and_says_what_it_saved(tmp_path):
    async with keeping(tmp_path) as kept:
        http = await kept.platform.http()
        first, second = await kept.ask(http=http), await kept.ask(http=http)
        assert [each.headers["x-tidemill-cache"] for each in (first, second)] == ["miss", "hit"]
        assert second.headers["x-tidemill-cache-by"] == "exact"
        assert second.headers["age"] == "0"
        assert second.headers["x-tidemill-cost"] == "0"
        assert said(first) == said(second)
        assert kept.gate.count == 1
        span = kept.platform.spans[-1]
        assert (span.attributes["tidemill.cached"], span.attributes["tidemill.cached.by"], span.cost) == (True, "exact", 0.0)
        assert span.attributes["tidemill.saved.tokens"] > 0
        other = await kept.ask("four", http=http)
        assert other.headers["x-tidemill-cache"] == "miss"


async def test_what_says_nothing_of_a_cache_keeps_nothing(tmp_path):
    async with keeping(tmp_path) as kept:
        http = await kept.platform.http()
        for _ in range(2):
            assert (await kept.ask(http=http, model="model/plain")).headers["x-tidemill-cache"] == "off"
        assert kept.gate.count == 2


async def test_a_request_says_what_it_wants_of_kept_answers(tmp_path):
    async with keeping(tmp_path) as kept:
        http = await kept.platform.http()

        async def ask(control, text="three"):
            answer = await kept.ask(text, http=http, headers={"x-tidemill-cache-control": control})
            return answer.headers.get("x-tidemill-cache"), answer

        assert (await ask("only-if-cached"))[1].status_code == 404
        assert (await ask("no-store"))[0] == "miss"
        assert (await ask("no-store"))[0] == "miss"
        assert (await ask("max-age=60"))[0] == "miss"
        assert (await ask("only-if-cached"))[0] == "hit"
        assert (await ask("no-cache"))[0] == "miss"
        assert "number 4" in said((await ask("no-store"))[1])  # what no-cache brought has taken the first one's place
        assert (await ask("namespace=mine"))[0] == "miss"
        kept.clock.late = 61
        assert (await ask("max-age=60"))[0] == "miss"
        assert (await ask("max-age=1m"))[0] == "hit"
        assert (await ask("ttl=5", "five"))[0] == "miss"
        kept.clock.late += 6
        assert (await ask("ttl=5", "five"))[0] == "miss"
        wrong = (await ask("max-age=soon"))[1]
        assert wrong.status_code == 400
        assert "max-age" in wrong.json()["error"]["message"]


async def test_an_answer_is_kept_for_so_long_and_dropped(tmp_path):
    async with keeping(tmp_path) as kept:
        http = await kept.platform.http()
        await kept.ask(http=http)
        await kept.answers.shelf.flush()
        kept.clock.late = 3601
        assert await kept.answers.shelf.purge() == 1
        assert (await kept.ask(http=http)).headers["x-tidemill-cache"] == "miss"


async def test_a_stream_is_kept_when_it_is_whole_and_replayed_in_either_dialect(tmp_path):
    async with keeping(tmp_path) as kept:
        client = await kept.platform.client()
        ask = {"model": "model/kept", "messages": [{"role": "user", "content": "three"}]}
        options = {"stream": True, "stream_options": {"include_usage": True}}
        streams = []
        for _ in range(2):
            chunks = [each async for each in await client.chat.completions.create(**ask, **options)]
            streams.append(chunks)
        texts = ["".join(each.choices[0].delta.content or "" for each in chunks if each.choices) for chunks in streams]
        assert texts[0] == texts[1] != ""
        assert streams[0][-1].usage == streams[1][-1].usage
        whole = await client.chat.completions.create(**ask)
        assert whole.choices[0].message.content == texts[0]
        assert kept.gate.count == 1


async def test_a_stream_that_broke_off_or_was_left_is_not_kept(tmp_path):
    async with keeping(tmp_path, BREAKING) as kept:
        client = await kept.platform.client()

        async def ask(text):
            messages = [{"role": "user", "content": text}]
            return await client.chat.completions.create(model="model/kept", messages=messages, stream=True)

        with pytest.raises(openai.APIError):
            async for _ in await ask("break"):
                pass
        stream = await ask("leave")
        await anext(aiter(stream))
        await stream.close()
        async for _ in await ask("stay"):
            pass
        await kept.answers.shelf.flush()
        assert kept.platform.database.read_sync(lambda db: count_answers(db, PROJECT))[0] == 1


async def test_users_do_not_share_answers_unless_the_document_says_so(tmp_path):
    async with keeping(tmp_path) as kept:
        http = await kept.platform.http()

        async def ask(user, model="model/kept", with_http=http):
            answer = await kept.ask(http=with_http, model=model, headers={"x-tidemill-user": user})
            return answer.headers["x-tidemill-cache"]

        assert [await ask(user) for user in ("ada", "bob", "ada", "bob")] == ["miss", "miss", "hit", "hit"]
        assert [await ask(user, "model/shared") for user in ("ada", "bob")] == ["miss", "hit"]
        other = await kept.platform.http()
        assert await ask("ada", with_http=other) == "miss"  # another key
        assert await ask("ada", "model/shared", other) == "hit"


async def test_identical_requests_at_once_are_one_call(tmp_path):
    async with keeping(tmp_path) as kept:
        http = await kept.platform.http()
        kept.gate.open.clear()
        asking = [asyncio.create_task(kept.ask(http=http, stream=number % 2 == 1)) for number in range(12)]
        await kept.waiting(11)
        kept.gate.open.set()
        answers = await asyncio.gather(*asking)
        assert {each.status_code for each in answers} == {200}
        assert kept.gate.count == 1
        assert sorted(each.headers["x-tidemill-cache"] for each in answers) == ["hit"] * 11 + ["miss"]


async def test_a_follower_asks_when_the_leader_goes(tmp_path):
    async with keeping(tmp_path) as kept:
        http = await kept.platform.http()
        kept.gate.open.clear()
        leader = asyncio.create_task(kept.ask(http=http))
        await kept.gate.arrived.wait()
        kept.gate.arrived.clear()
        followers = [asyncio.create_task(kept.ask(http=http)) for _ in range(5)]
        await kept.waiting(5)
        leader.cancel()
        await kept.gate.arrived.wait()
        kept.gate.open.set()
        assert len({said(each) for each in await asyncio.gather(*followers)}) == 1
        assert kept.gate.count == 2


async def test_a_leader_that_never_ends_holds_nobody_up(tmp_path):
    async with keeping(tmp_path, patience=0.05) as kept:
        http = await kept.platform.http()
        kept.gate.open.clear()
        stuck = asyncio.create_task(kept.ask(http=http))
        await kept.gate.arrived.wait()
        kept.gate.arrived.clear()
        follower = asyncio.create_task(kept.ask(http=http))
        await kept.gate.arrived.wait()
        stuck.cancel()
        kept.gate.open.set()
        assert said(await follower)
        assert kept.answers.flights.waiting == 0
        assert (await kept.ask(http=http)).headers["x-tidemill-cache"] == "hit"


async def test_an_embedder_that_is_away_keeps_no_request_from_its_answer(tmp_path):
    async with keeping(tmp_path) as kept:
        http = await kept.platform.http()
        tries = []

        async def away(*_args, **_more):
            tries.append(1)
            raise Unavailable("the embedder is away", kind="connection")

        kept.platform.models.embed = away
        for text in ("when is it high", "when is it low"):
            answer = await kept.ask(text, http=http, model="model/meant")
            assert (answer.status_code, answer.headers["x-tidemill-cache"]) == (200, "miss")
        assert len(tries) == 1  # then it is left alone for a while
        assert (await kept.ask("when is it low", http=http, model="model/meant")).headers["x-tidemill-cache-by"] == "exact"


async def test_an_error_is_shared_by_those_who_wait_and_nobody_after(tmp_path):
    async with keeping(tmp_path) as kept:
        http = await kept.platform.http()
        kept.gate.open.clear()
        kept.gate.error = Unavailable("the provider is away", kind="server")
        asking = [asyncio.create_task(kept.ask(http=http)) for _ in range(4)]
        await kept.waiting(3)
        kept.gate.open.set()
        answers = await asyncio.gather(*asking)
        assert len({(each.status_code, each.json()["error"]["message"]) for each in answers}) == 1
        assert kept.gate.count == 1
        kept.gate.error = None
        assert said(await kept.ask(http=http))


async def test_questions_of_the_same_meaning_get_the_answer_that_is_there(tmp_path):
    async with keeping(tmp_path) as kept:
        http = await kept.platform.http()

        async def ask(text, **more):
            answer = await kept.ask(text, http=http, model="model/meant", **more)
            return answer.headers["x-tidemill-cache"], answer.headers.get("x-tidemill-cache-by")

        assert await ask("when is high water at the old mill today") == ("miss", None)
        assert await ask("today, when is high water at the old mill?") == ("hit", "semantic")
        assert await ask("how do I pay for a berth in winter") == ("miss", None)
        assert await ask("at the old mill today when is high water", temperature=0.5) == ("miss", None)  # another context
        off = {"x-tidemill-cache-control": "semantic=off"}
        assert await ask("when is high water today at the old mill", headers=off) == ("miss", None)
        await kept.answers.flush()  # as after a restart
        assert await ask("high water at the old mill, when is it today") == ("hit", "semantic")


async def test_a_persons_answers_go_with_them(tmp_path):
    async with keeping(tmp_path) as kept:
        http = await kept.platform.http()
        for user in ("ada", "bob"):
            await kept.ask(http=http, headers={"x-tidemill-user": user, "x-tidemill-session": f"s-{user}"})
        await kept.answers.flush()
        write = kept.platform.database.write
        assert await write(lambda db: forget_answers_of(db, PROJECT, "user", ["ada"])) == 1
        assert await write(lambda db: forget_answers_of(db, PROJECT, "session", ["s-bob"])) == 1
        answers = [await kept.ask(http=http, headers={"x-tidemill-user": user}) for user in ("ada", "bob")]
        assert [each.headers["x-tidemill-cache"] for each in answers] == ["miss", "miss"]


async def test_a_project_keeps_so_much_and_the_oldest_go_first(tmp_path):
    async with keeping(tmp_path, most_bytes=2000) as kept:
        http = await kept.platform.http()
        for number in range(30):
            assert (await kept.ask(f"{number}", http=http)).headers["x-tidemill-cache"] == "miss"
            await kept.answers.shelf.flush()
        await kept.answers.shelf.purge()
        count, size = kept.platform.database.read_sync(lambda db: count_answers(db, PROJECT))
        assert 0 < count < 30
        assert size <= 2000
        assert (await kept.ask("29", http=http)).headers["x-tidemill-cache"] == "hit"


async def test_an_endpoint_says_it_in_place_of_the_model(tmp_path):
    async with keeping(tmp_path) as kept:
        platform = kept.platform
        await platform.apply("{kind: endpoint, name: on, app: model/plain, cache: on}")
        await platform.apply("{kind: endpoint, name: never, app: model/kept, cache: off}")
        await platform.deploy("model/plain", "on")
        await platform.deploy("model/kept", "never")
        http = await platform.http()
        found = [(await kept.ask(http=http, model=name)).headers["x-tidemill-cache"] for name in ("on", "on", "never", "never")]
        assert found == ["miss", "hit", "off", "off"]


async def test_an_anthropic_client_is_answered_from_what_is_kept(tmp_path):
    async with keeping(tmp_path) as kept:
        async with anthropic.AsyncAnthropic(api_key=await kept.platform.key(), base_url=kept.platform.url) as client:
            ask = {"model": "model/kept", "max_tokens": 50, "messages": [{"role": "user", "content": "three"}]}
            first = await client.messages.create(**ask)
            async with client.messages.stream(**ask) as stream:
                again = await stream.get_final_message()
        assert first.content[0].text == again.content[0].text
        assert kept.gate.count == 1


async def test_what_is_kept_is_there_after_a_restart(tmp_path):
    async with keeping(tmp_path) as kept:
        key = await kept.platform.key()
        async with httpx.AsyncClient(base_url=kept.platform.url, headers={"authorization": f"Bearer {key}"}) as http:
            await kept.ask(http=http)
    async with (
        keeping(tmp_path) as kept,
        httpx.AsyncClient(base_url=kept.platform.url, headers={"authorization": f"Bearer {key}"}) as http,
    ):
        assert (await kept.ask(http=http)).headers["x-tidemill-cache"] == "hit"
