"""What a call holds on its way is handed back exactly once, however the call ends."""

import asyncio
from dataclasses import dataclass, field

import pytest

from models.calls import ask, version
from models.upstream import DONE, USAGE, answering, chunk, completion, serve_upstream, writing
from tidemill.core.chat import ChatResponse, Usage
from tidemill.core.errors import DeadlineExceeded, Invalid, RateLimited, Unavailable
from tidemill.core.parts import Message
from tidemill.models import Models
from tidemill.models.caller import Caller
from tidemill.models.calls import Hit, RawRequest

pytestmark = pytest.mark.anyio

CALLER = Caller.internal("p", "local")
MODEL = version(provider="openai", model="m")


@dataclass
class Permits:
    """A limiter that lets everybody through, and notes what comes back."""

    full: bool = False
    given: int = 0
    settled: list = field(default_factory=list)
    released: int = 0

    async def admit(self, call):
        if self.full:
            raise RateLimited("enough", retry_after=3)
        self.given += 1
        return self

    def settle(self, spent):
        self.settled.append(spent)

    def release(self):
        self.released += 1

    @property
    def back(self):
        return len(self.settled) + self.released


@dataclass
class Shelf:
    """A cache of one answer."""

    hit: Hit | None = None
    put_in: list = field(default_factory=list)
    dropped: list = field(default_factory=list)

    async def look(self, call):
        return self.hit or self

    def put(self, result):
        self.put_in.append(result)

    def drop(self, error):
        self.dropped.append(error)


@pytest.fixture
async def way(traced):
    async with serve_upstream() as server:

        async def connection_for(project, name, environment):
            return server.connection()

        permits, shelf = Permits(), Shelf()
        models = Models(connection_for=connection_for, limiter=permits, cache=shelf)
        yield models, permits, shelf, server
        await models.close()


async def test_a_whole_answer_is_settled_and_kept(way, traced):
    models, permits, shelf, server = way
    server.behave = answering((200, completion(), {}))
    result = await models.chat(MODEL, ask("x"), caller=CALLER, span=traced.span())
    (spent,) = permits.settled
    assert (spent.usage, spent.estimated, spent.cancelled) == (result.response.usage, False, False)
    assert (shelf.put_in, shelf.dropped, permits.back) == ([result], [], 1)


async def test_a_stream_is_settled_at_its_end_and_not_before(way, traced):
    models, permits, shelf, server = way
    server.behave = writing(chunk("a"), chunk("b", finish="stop"), USAGE, DONE)
    stream = models.stream(MODEL, ask("x"), caller=CALLER, span=traced.span())
    await anext(stream)
    assert permits.back == 0
    async for _ in stream:
        pass
    assert permits.settled[0].usage.input_tokens == 7
    assert (permits.back, len(shelf.put_in)) == (1, 1)


async def test_who_leaves_a_stream_has_used_what_came(way, traced):
    models, permits, shelf, server = way
    server.behave = writing(chunk("one two three four"), then=asyncio.Event().wait)
    async with models.stream(MODEL, ask("a question"), caller=CALLER, span=traced.span()) as stream:
        await anext(stream)
    await asyncio.wait_for(server.left.wait(), 5)
    (spent,) = permits.settled
    assert (spent.cancelled, spent.estimated, spent.usage.output_tokens > 0) == (True, True, True)
    assert (shelf.put_in, shelf.dropped) == ([], [None])


async def test_a_refusal_gives_back_what_was_reserved(way, traced):
    models, permits, shelf, server = way
    server.behave = answering((400, {"error": {"message": "no"}}, {}))
    with pytest.raises(Invalid) as caught:
        await models.chat(MODEL, ask("x"), caller=CALLER, span=traced.span())
    assert caught.value.kind == "invalid"
    assert (permits.released, permits.settled, shelf.dropped) == (1, [], [caught.value])


async def test_a_stream_that_breaks_is_settled_with_its_error(way, traced):
    models, permits, _shelf, server = way
    server.behave = writing(chunk("one two three four"), abort=True)
    with pytest.raises(Unavailable, match=r"broke|early") as caught:
        async for _ in models.stream(MODEL, ask("x"), caller=CALLER, span=traced.span()):
            pass
    assert "nothing else was asked" in caught.value.hint
    (spent,) = permits.settled
    assert (spent.error, spent.cancelled, permits.back) == (caught.value, False, 1)


async def test_who_is_cancelled_while_waiting_has_asked(way, traced):
    models, permits, _shelf, server = way
    server.behave = writing(then=asyncio.Event().wait)
    asking = asyncio.create_task(models.chat(MODEL, ask("a long question"), caller=CALLER, span=traced.span()))
    await server.arrived.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    (spent,) = permits.settled
    assert (spent.cancelled, spent.usage.input_tokens > 0, spent.usage.output_tokens) == (True, True, 0)


async def test_a_deadline_holds_below_every_call(way, traced):
    models, permits, _shelf, server = way
    server.behave = writing(then=asyncio.Event().wait)
    caller = Caller(project="p", environment="local", deadline=asyncio.get_running_loop().time() + 0.1)
    with pytest.raises(DeadlineExceeded) as caught:
        await models.chat(MODEL, ask("x"), caller=caller, span=traced.span())
    assert caught.value.kind == "timeout"
    await asyncio.wait_for(server.left.wait(), 5)
    assert permits.back == 1


async def test_who_is_refused_holds_nothing(way, traced):
    models, permits, shelf, server = way
    permits.full = True
    with pytest.raises(RateLimited):
        await models.chat(MODEL, ask("x"), caller=CALLER, span=traced.span())
    assert (permits.back, shelf.dropped, server.calls) == (0, [], 0)


async def test_a_kept_answer_costs_nothing_and_comes_whole_or_streamed(way, traced):
    models, permits, shelf, server = way
    kept = ChatResponse(
        message=Message.of("assistant", "kept " * 100), usage=Usage(input_tokens=3, output_tokens=4), model="gpt"
    )
    shelf.hit = Hit(response=kept, age=1.0, saved=0.25)
    result = await models.chat(MODEL, ask("x"), caller=CALLER, span=traced.span())
    assert (result.response, result.cost, result.saved, result.cached) == (kept, 0.0, 0.25, "exact")
    stream = models.stream(MODEL, ask("x"), caller=CALLER, span=traced.span())
    assert "".join([delta.text async for delta in stream]) == kept.message.text
    assert [(each.cost, each.saved, each.usage) for each in permits.settled] == [(0.0, 0.25, Usage())] * 2
    assert server.calls == 0


async def test_bytes_that_nobody_fetches_are_let_go(way, traced):
    models, permits, _shelf, server = way
    server.behave = writing(chunk("one two"), then=asyncio.Event().wait)
    fields = {"model": "model/m", "messages": [], "stream": True}
    body = b'{"model":"model/m","messages":[],"stream":true}'
    raw = RawRequest(dialect="openai.chat", body=body, fields=fields, headers={}, stream=True)
    answered = await models.begin(MODEL, ask("x"), caller=CALLER, span=traced.span(), stream=True, raw=raw)
    assert answered.is_raw
    await answered.aclose()
    await asyncio.wait_for(server.left.wait(), 5)
    assert (permits.back, permits.settled[0].cancelled) == (1, True)
    await answered.aclose()
    assert permits.back == 1
