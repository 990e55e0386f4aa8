"""Every shape of function, recorded: what its span holds, and that it behaves as it did."""

from __future__ import annotations

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import tidemill
from telemetry.instrument.receiver import tree_of
from tidemill.core.errors import Invalid

pytestmark = pytest.mark.anyio


def test_a_call_is_a_span_with_its_arguments_and_its_result(kept) -> None:
    @tidemill.trace
    def add(a: int, *more: int, scale: int = 1) -> int:
        """Adds."""
        return (a + sum(more)) * scale

    assert add(1, 2, 3, scale=10) == 60
    assert add.__name__ == "add"
    assert add.__doc__ == "Adds."
    span = kept.records["add"] if "add" in kept.records else next(iter(kept.records.values()))
    assert (span.name, span.kind, span.dialect, span.status) == ("add", "chain", "tidemill", "ok")
    assert span.input == {"a": 1, "more": [2, 3], "scale": 10}
    assert span.output == 60
    assert span.attributes["code.function.name"].endswith("add")


def test_spans_nest_and_say_what_was_set(kept) -> None:
    @tidemill.trace("find", kind="retriever")
    def find(question: str) -> list[str]:
        with tidemill.trace("rank", kind="reranker") as span:
            span.set(documents=[{"id": "a#1", "text": "one", "score": 0.9}])
        return ["one"]

    with tidemill.trace("answer", kind="llm", input={"question": "q"}, model="m-1", provider="openai") as span:
        find("q")
        span.set(
            output="yes", usage={"prompt_tokens": 7, "completion_tokens": 2}, cost=0.25, model="m-1-2026", attributes={"n": [1]}
        )
    found = kept.records
    assert tree_of(found.values()) == {"answer": {"find": {"rank": {}}}}
    assert found["rank"].output == [{"id": "a#1", "text": "one", "score": 0.9}]
    assert (found["find"].kind, found["find"].output) == ("retriever", ["one"])
    answer = found["answer"]
    assert (answer.kind, answer.model, answer.provider, answer.cost) == ("llm", "m-1-2026", "openai", 0.25)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 2)
    assert answer.attributes["n"] in ([1], "[1]")


async def test_coroutines_and_tasks_nest(kept) -> None:
    @tidemill.trace
    async def part(n: int) -> int:
        await asyncio.sleep(0)
        return n

    async with tidemill.trace("all") as span:
        results = await asyncio.gather(part(1), part(2))
        span.set(output=results)
    assert inspect.iscoroutinefunction(part)
    parts = [each for each in kept.ended if each.name.endswith("part")]
    root = next(each for each in kept.ended if each.name == "all")
    assert [each.parent.span_id for each in parts] == [root.context.span_id] * 2


def test_a_generator_ends_when_it_is_exhausted_and_is_not_the_parent_of_its_caller(kept) -> None:
    @tidemill.trace("words", kind="llm")
    def words():
        with tidemill.trace("inner"):
            yield "a"
        yield "b"
        return 3

    got = []
    for each in words():
        with tidemill.trace("outer"):
            got.append(each)
    found = kept.records
    assert got == ["a", "b"]
    assert found["words"].output == {"items": "ab", "returned": 3}
    assert found["words"].first_token_ns is not None
    assert found["outer"].parent_id is None
    assert found["words"].parent_id is None


def test_a_generator_that_is_closed_keeps_what_it_gave(kept) -> None:
    cleaned = []

    @tidemill.trace
    def numbers():
        try:
            yield from range(100)
        finally:
            cleaned.append(True)

    running = numbers()
    assert [next(running), next(running)] == [0, 1]
    running.close()
    (span,) = kept.records.values()
    assert (span.output, span.status, cleaned) == ([0, 1], "ok", [True])


def test_a_generator_takes_what_is_sent_and_thrown(kept) -> None:
    @tidemill.trace
    def echo():
        got = yield "ready"
        try:
            while True:
                got = yield got * 2
        except KeyError as error:
            yield f"caught {error.args[0]}"

    running = echo()
    assert [next(running), running.send(4), running.throw(KeyError("x"))] == ["ready", 8, "caught x"]
    with pytest.raises(ValueError, match="out"):
        running.throw(ValueError("out"))
    (span,) = kept.records.values()
    assert (span.status, span.error) == ("error", "ValueError: out")
    assert span.output == ["ready", 8, "caught x"]


async def test_an_asynchronous_generator_is_gathered(kept) -> None:
    @tidemill.trace("stream", kind="llm", reduce=lambda chunks: "".join(each["text"] for each in chunks))
    async def stream():
        for text in ("to", "day"):
            with tidemill.trace("piece"):
                await asyncio.sleep(0)
            yield {"text": text}

    assert inspect.isasyncgenfunction(stream)
    assert [each async for each in stream()] == [{"text": "to"}, {"text": "day"}]
    found = kept.records
    assert found["stream"].output == {"messages": [{"role": "assistant", "content": "today"}]}
    assert found["piece"].parent_id == found["stream"].span_id

    closing = stream()
    await anext(closing)
    await closing.aclose()
    assert kept.records["stream"].output == {"messages": [{"role": "assistant", "content": "to"}]}


async def test_an_asynchronous_generator_takes_what_is_thrown(kept) -> None:
    @tidemill.trace("deaf")
    async def deaf():
        try:
            yield 1
        except KeyError:
            yield 2

    running = deaf()
    assert await anext(running) == 1
    assert await running.athrow(KeyError()) == 2
    with pytest.raises(StopAsyncIteration):
        await anext(running)
    assert kept.records["deaf"].output == [1, 2]


def test_an_exception_is_recorded_and_goes_on(kept) -> None:
    @tidemill.trace
    def fails() -> None:
        raise LookupError("no such word")

    with pytest.raises(LookupError):
        fails()
    (span,) = kept.records.values()
    assert (span.status, span.error) == ("error", "LookupError: no such word")
    assert span.events[0]["name"] == "exception"


async def test_a_task_that_is_cancelled_says_so(kept) -> None:
    started = asyncio.Event()

    @tidemill.trace("slow")
    async def slow() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(slow())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (kept.records["slow"].status, kept.records["slow"].error) == ("error", "cancelled")


def test_methods_of_every_sort(kept) -> None:
    class Search:
        @tidemill.trace("of", kind="tool")
        def of(self, word: str) -> str:
            return word

        @tidemill.trace("made")
        @classmethod
        def made(cls, word: str) -> str:
            return word

        @staticmethod
        @tidemill.trace("static")
        def static(word: str) -> str:
            return word

    assert [Search().of("x"), Search.made("y"), Search.static("z")] == ["x", "y", "z"]
    assert [each.input for each in kept.records.values()] == [{"word": "x"}, {"word": "y"}, {"word": "z"}]


def test_a_plain_function_that_gives_a_generator_or_a_coroutine(kept) -> None:
    @tidemill.trace("lazy")
    def lazy():
        return (each for each in "ab")

    assert list(lazy()) == ["a", "b"]
    assert kept.records["lazy"].output == "ab"

    async def answer() -> int:
        return 4

    @tidemill.trace("later")
    def later():
        return answer()

    assert asyncio.run(later()) == 4
    assert kept.records["later"].output == 4


def test_nothing_is_captured_when_it_should_not_be(kept) -> None:
    @tidemill.trace("quiet", capture=False)
    def quiet(secret: str) -> str:
        return secret

    @tidemill.trace("half", captures_output=False)
    def half(word: str, api_key: str) -> str:
        return word

    quiet("s")
    half("w", api_key="k-123")
    found = kept.records
    assert (found["quiet"].input, found["quiet"].output) == (None, None)
    assert (found["half"].input, found["half"].output) == ({"word": "w", "api_key": "(not recorded)"}, None)


def test_threads_and_executors_by_bind(kept) -> None:
    @tidemill.trace("work")
    def work(n: int) -> int:
        return n

    with tidemill.trace("root"):
        bound = tidemill.trace.bind(work)
        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(bound, range(8))) == list(range(8))
        thread = threading.Thread(target=bound, args=(9,))
        thread.start()
        thread.join()
        alone = threading.Thread(target=work, args=(10,))
        alone.start()
        alone.join()
    root = next(each for each in kept.ended if each.name == "root")
    works = [each for each in kept.ended if each.name == "work"]
    assert [each.parent and each.parent.span_id for each in works].count(root.context.span_id) == 9


@pytest.mark.parametrize("given", [type("Thing", (), {}), 3])
def test_what_is_no_function_is_refused(given) -> None:
    with pytest.raises(Invalid, match="records functions"):
        tidemill.trace(given)


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid, match="retreiver") as caught:
        tidemill.trace("find", kind="retreiver")
    assert "retriever" in caught.value.hint
