"""The kit for providers, with the one of the recipe, which is nobody's, and with ones that break a promise."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest

from tidemill.core.chat import ChatRequest, Connection
from tidemill.core.errors import Unavailable
from tidemill.core.parts import Message
from tidemill.testing import check_cuts, check_recording, replay_server
from tidemill.testing.replay import Recorded, cut, first_difference, places

pytestmark = pytest.mark.anyio

RECIPE = Path(__file__).parents[2] / "docs" / "recipes" / "add-a-provider.md"
LINES = b'{"words": "gr\xc3\xbc\xc3\x9f "}\r\n\n{"words": "dich", "last": true}\n'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def acme():
    code = re.findall(r"```python\n(.*?)```", RECIPE.read_text("utf-8"), re.DOTALL)[-1]
    names: dict = {}
    exec(compile(code, str(RECIPE), "exec"), names)
    return names["AcmeChat"]


def recorded(**fields) -> Recorded:
    turns = [{"who": "user", "words": "hi"}]
    asked = {"heat": 0.5, "model": "m", "turns": turns, "stream": fields.get("is_stream", True)}
    return Recorded(**{"id": "r", "path": "/talk", "request": asked, "content": LINES, "is_stream": True, **fields})


async def check(provider, exchange: Recorded):
    request = ChatRequest(model="m", messages=(Message.of("user", "hi"),), params={"temperature": 0.5, "seed": 1})
    async with replay_server() as server:
        connection = Connection(name="acme", provider="acme", base_url=server.url, allow_private=True)
        try:
            return await check_recording(provider, exchange, request, server=server, connection=connection)
        finally:
            await provider.close()


async def test_a_third_party_provider_passes(acme):
    assert (await check(acme(), recorded())).message.text == "grüß dich"
    whole = recorded(is_stream=False, content=orjson.dumps({"words": "hello"}))
    assert (await check(acme(), whole)).message.text == "hello"


async def test_what_is_asked_otherwise_is_told(acme):
    with pytest.raises(AssertionError, match="asked at /talk, recorded /speak"):
        await check(acme(), recorded(path="/speak"))
    with pytest.raises(AssertionError, match=r"turns\[0\]\.words is \"hi\", recorded \"ho\""):
        await check(acme(), recorded(request={**recorded().request, "turns": [{"who": "user", "words": "ho"}]}))


async def test_a_reader_that_depends_on_the_cut_is_told(acme):
    class Careless:
        ended = True

        def feed(self, piece):
            from tidemill.core.chat import ChatDelta

            yield ChatDelta(text=piece.decode("utf-8", "replace"))

        def end(self):
            return iter(())

    with pytest.raises(AssertionError, match="read otherwise"):
        check_cuts(Careless, "grüß".encode())


async def test_half_an_answer_that_passes_for_the_whole_is_told(acme):
    class Trusting:
        ended = False

        def feed(self, piece):
            return iter(())

        def end(self):
            return iter(())

    with pytest.raises(AssertionError, match="passed for the whole"):
        check_cuts(Trusting, b"a b")


async def test_a_stream_that_breaks_off_is_unavailable(acme):
    with pytest.raises(Unavailable, match="ended early"):
        await check(acme(), recorded(content=LINES[:20]))


def test_cuts_and_differences():
    assert b"".join(cut(LINES, 3)) == LINES
    assert {LINES.index(b"\r\n") + 1, LINES.index(b"\xbc")} <= set(places(LINES))
    assert first_difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == "a[1].b is 2, recorded 3"
    assert first_difference({"a": 1}, {"b": 1}) == "a was not recorded: 1"
    assert first_difference({}, {"b": 1}) == "b is missing; recorded 1"
    assert "has 1 values, recorded 2" in first_difference([1], [1, 2])
