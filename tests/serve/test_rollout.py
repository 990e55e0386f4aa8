"""A canary on the wire: who gets it, what the response and the spans say, and what happens to requests in flight."""

import asyncio
import itertools
import secrets

import pytest
from scipy import stats

from serve.platform import PROJECT, serving
from tidemill.core.records import Bundle, Version
from tidemill.serve.rollout import Split, asker_of, place_of, split_of
from tidemill.store import release, rollouts
from tidemill.store.rollout_rows import Rollout, RolloutStep
from tidemill.testing.policies import LetAll

pytestmark = pytest.mark.anyio

KEY = "5f" * 16
CANARY = Bundle(
    release="sha256:c", root=Version(project="p", kind="model", name="m", number=1, digest="d", spec={}), versions={}
)


def app(reply, *, inputs="{question: string}"):
    return f"""
kind: model
name: answers
provider: test
{reply}
---
kind: prompt
name: ask
text: "{{{{question}}}}"
---
kind: chain
name: tide
inputs: {inputs}
steps:
  - {{id: answer, prompt: prompt/ask, model: model/answers, with: {{question: "{{{{question}}}}"}}}}
output: "{{{{answer.text}}}}"
"""


def split(share, key=KEY):
    rollout = Rollout(
        project="p", id="r", endpoint="e", status="running", release="sha256:c", root="chain/x@v2", stable_release="sha256:s",
        stable_root="chain/x@v1", steps=(RolloutStep(share=share),), key=key, started_by="ann", started_ns=1,
    )  # fmt: skip
    return split_of(rollout, CANARY)


def askers(count):
    return [asker_of(user=f"user-{number}", session=None, request=str) for number in range(count)]


@pytest.mark.parametrize("share", [0.1, 1, 10, 33.3, 50, 90])
async def test_the_share_is_kept_at_a_fixed_key(share):
    """Exact binomial test: with this key the count is not one that fewer than 1 in 1,000 rollouts would show."""
    found = sum(split(share).variant(each) == "canary" for each in askers(20_000))
    assert stats.binomtest(found, 20_000, share / 100).pvalue > 0.001


async def test_the_share_is_kept_over_keys():
    """One user and many rollouts: the same share again, so that nobody is always the one."""
    keys = [f"{number:032x}" for number in range(20_000)]
    found = sum(split(10, key).variant("user:ann") == "canary" for key in keys)
    assert stats.binomtest(found, len(keys), 0.1).pvalue > 0.001


async def test_nobody_at_0_and_everybody_at_100():
    everyone = askers(2000)
    assert {split(0).variant(each) for each in everyone} == {"stable"}
    assert {split(100).variant(each) for each in everyone} == {"canary"}
    assert Split(rollout="r", canary=CANARY, key=b"", threshold=2**64).variant("user:x") == "canary"


async def test_whoever_is_in_a_share_is_in_every_larger_one():
    shares = (0.5, 5, 25, 60)
    inside = [{each for each in askers(5000) if split(share).variant(each) == "canary"} for share in shares]
    assert all(small < large for small, large in itertools.pairwise(inside))


async def test_another_rollout_chooses_others():
    one, other = ({each for each in askers(4000) if split(50, key).variant(each) == "canary"} for key in ("00" * 16, "01" * 16))
    together = len(one & other)
    assert stats.binomtest(together, 4000, 0.25).pvalue > 0.001


async def test_an_upgrade_moves_nobody():
    """Known answers of keyed BLAKE2b, 8 bytes: after a restart by a newer version everybody has the same variant."""
    assert place_of("user:ann", key=bytes.fromhex(KEY)) == 0xB81A5E6E596C72CC
    assert place_of("user:ann", key=b"") == 15607792771152710359


async def test_a_user_goes_before_a_session_and_a_session_before_a_request():
    assert asker_of(user="ann", session="s", request=str) == "user:ann"
    assert asker_of(user="", session="s", request=str) == "session:s"
    assert asker_of(user=None, session=None, request=lambda: "x") == "request:x"
    assert asker_of(user="s", session=None, request=str) != asker_of(user=None, session="s", request=str)


async def start(platform, share):
    """Start as the control plane does; the release tried and the rollout."""

    def work(db):
        made = release.make_release(db, PROJECT, "chain/tide", now_ns=platform.clock.now_ns(), by="test")
        canary = rollouts.Canary(release=made.digest, root=made.root.ref, shares=[share], key=KEY)
        return rollouts.start_rollout(
            db, PROJECT, "tide", rollout_id=secrets.token_hex(8), canary=canary, policies=LetAll(), by="test",
            now_ns=platform.clock.now_ns(),
        )  # fmt: skip

    started = await platform.database.write(work)
    await platform.live.refresh(PROJECT, "tide")
    return started


async def end(platform, function, **more):
    now = {"by": "test", "now_ns": platform.clock.now_ns()}
    ended = await platform.database.write(lambda db: function(db, PROJECT, "tide", **now, **more))
    await platform.live.refresh(PROJECT, "tide")
    return ended


def asked(user=None, session=None, body=None, **more):
    headers = {"x-tidemill-user": user, "x-tidemill-session": session}
    return {
        "json": {"model": "tide", "messages": [{"role": "user", "content": "?"}], **(body or {}), **more},
        "headers": {name: value for name, value in headers.items() if value},
    }


async def test_responses_and_spans_say_which_variant_answered_and_users_stay(tmp_path):
    async with serving(tmp_path, app("reply: ebb")) as platform:
        stable = await platform.deploy("chain/tide", "tide")
        http = await platform.http()
        before = await http.post("/v1/chat/completions", **asked("ann"))
        assert "x-tidemill-variant" not in before.headers
        await platform.apply(app("reply: flood"))
        rollout = await start(platform, 50)
        words = {rollout.release: "flood", stable: "ebb"}
        variants = {}
        for _ in range(3):
            for number in range(24):
                names = ({"user": f"u{number}"}, {"session": f"s{number}"}, {"body": {"user": f"openai-{number}"}})
                ask = asked(**names[number % 3], stream=number % 2 == 1)
                answer = await http.post("/v1/chat/completions", **ask)
                variant, digest = answer.headers["x-tidemill-variant"], answer.headers["x-tidemill-release"]
                assert digest == (rollout.release if variant == "canary" else stable)
                assert words[digest] in answer.text
                assert variants.setdefault(number, variant) == variant, "a user moved"
        assert set(variants.values()) == {"canary", "stable"}
        roots = [each for each in platform.spans if each.parent_id is None and "tidemill.variant" in each.attributes]
        assert len(roots) == 72
        for each in roots:
            assert each.release == (rollout.release if each.attributes["tidemill.variant"] == "canary" else stable)
            assert each.attributes["tidemill.rollout"] == rollout.id


async def test_without_a_name_each_request_is_decided_by_itself(tmp_path):
    async with serving(tmp_path, app("reply: ebb")) as platform:
        await platform.deploy("chain/tide", "tide")
        await platform.apply(app("reply: flood"))
        await start(platform, 50)
        http = await platform.http()
        found = [(await http.post("/v1/chat/completions", **asked())).headers["x-tidemill-variant"] for _ in range(40)]
        assert {"canary", "stable"} == set(found)  # the chance of a false alarm is 2 in 2^40


async def test_requests_in_flight_end_on_the_variant_they_began_with(tmp_path):
    slow = 'reply: "{} {} {} {} {} {} {} {}"\ntokens_per_second: 60'
    async with serving(tmp_path, app(slow.replace("{}", "ebb"))) as platform:
        await platform.deploy("chain/tide", "tide")
        await platform.apply(app(slow.replace("{}", "flood")))
        client = await platform.client()
        ask = {"model": "tide", "messages": [{"role": "user", "content": "?"}], "stream": True}

        async def read(stream, began):
            texts = []
            async for chunk in stream:
                texts.append(chunk.choices[0].delta.content or "")
                if "".join(texts).strip():
                    began.set()
            return "".join(texts)

        async def across(change, words):
            """Eight streams that have begun, then the change, then their ends."""
            streams = [await client.chat.completions.create(**ask, user=f"u{number}") for number in range(8)]
            events = [asyncio.Event() for _ in streams]
            reading = [asyncio.create_task(read(stream, event)) for stream, event in zip(streams, events, strict=True)]
            async with asyncio.timeout(30):
                for each in events:
                    await each.wait()
                await change()
                texts = await asyncio.gather(*reading)
            assert {each.split()[0] for each in texts} == words
            assert all(each.split() == [each.split()[0]] * 8 for each in texts)

        await across(lambda: start(platform, 50), {"ebb"})
        await across(lambda: end(platform, rollouts.abort_rollout), {"ebb", "flood"})
        await start(platform, 50)
        await across(lambda: end(platform, rollouts.promote_rollout, policies=LetAll()), {"ebb", "flood"})
        await across(lambda: platform.rollback("tide"), {"flood"})
        answer = await client.chat.completions.create(model="tide", messages=ask["messages"])
        assert answer.choices[0].message.content.startswith("ebb")


async def test_a_canary_that_refuses_every_question_has_failed(tmp_path):
    """Callers bring tools, which the model took and the chain does not: refused before it runs, and counted all the same."""
    async with serving(tmp_path, app("reply: ebb")) as platform:
        await platform.deploy("model/answers", "tide")
        await start(platform, 100)
        http = await platform.http()
        tool = {"type": "function", "function": {"name": "moon", "parameters": {"type": "object"}}}
        answer = await http.post("/v1/chat/completions", **asked("ann", tools=[tool]))
        assert answer.status_code == 400
        (root,) = platform.spans
        assert (root.status, root.attributes["tidemill.variant"], root.user) == ("error", "canary", "ann")
        assert "has its own tools" in root.error
