"""Functions whose calls are spans: plain ones, coroutines, generators and asynchronous generators.

A generator's span is the current one only while its body runs, and so never the parent of what its caller does in between.
It ends when the generator is exhausted, closed, or fails.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from opentelemetry.trace import Tracer
from opentelemetry.util.types import AttributeValue

from tidemill.core.errors import Invalid
from tidemill.telemetry.instrument import values
from tidemill.telemetry.instrument.gather import Gathered, Reduce
from tidemill.telemetry.instrument.spans import Span, begin

_OWN: Final = frozenset({"self", "cls"})
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How the calls of one function are recorded."""

    tracer: Tracer
    name: str | None
    attributes: Mapping[str, AttributeValue]
    captures_input: bool
    captures_output: bool
    timed: bool
    """Whether the time to the first piece is noted."""
    reduce: Reduce | None


def traced(function: Any, plan: Plan) -> Any:
    """A function that does the same and is recorded. Raises `Invalid` for what is no function."""
    if isinstance(function, staticmethod | classmethod):
        method = cast("Any", function)
        return method.__class__(traced(method.__func__, plan))
    if not callable(function) or isinstance(function, type):
        what = f"the class {function.__name__}" if isinstance(function, type) else repr(function)
        raise Invalid(f"tidemill.trace records functions, not {what}", hint="Decorate its methods, or use it as `with`.")
    calls = _Calls(function, plan)
    if inspect.isasyncgenfunction(function):
        return _async_generator(function, calls)
    if inspect.iscoroutinefunction(function):
        return _coroutine(function, calls)
    if inspect.isgeneratorfunction(function):
        return _generator(function, calls)
    return _plain(function, calls)


class _Calls:
    """Begins and ends the spans of one function."""

    __slots__ = ("attributes", "name", "names", "plan", "rest", "skipped", "tracer")

    def __init__(self, function: Any, plan: Plan) -> None:
        full: str = getattr(function, "__qualname__", None) or getattr(function, "__name__", type(function).__name__)
        self.name = plan.name or full.rpartition("<locals>.")[2]
        self.plan = plan
        self.tracer = plan.tracer
        self.attributes = {"code.function.name": f"{getattr(function, '__module__', '')}.{full}", **plan.attributes}
        names, self.rest = _parameters(function)
        self.skipped = int(bool(names) and names[0] in _OWN)
        self.names = names

    def begin(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Span:
        span = begin(self.tracer, self.name, self.attributes)
        if span.is_recording and self.plan.captures_input:
            span.took(self.arguments(args, kwargs))
        return span

    def arguments(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        skipped, names = self.skipped, self.names
        found: dict[str, object] = dict(zip(names[skipped:], args[skipped:], strict=False))
        if len(args) > len(names):
            found[self.rest] = args[len(names) :]
        found.update(kwargs)
        return found

    def returned(self, span: Span, result: object) -> None:
        if span.is_recording and self.plan.captures_output and not span.has_output:
            span.gave(result)
        span.end()

    def failed(self, span: Span, error: BaseException) -> None:
        span.failed(error)
        span.end()


def _parameters(function: Any) -> tuple[tuple[str, ...], str]:
    """The names of the positional parameters, and of those that take the rest."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have none
        return (), "args"
    rest = next((each.name for each in parameters if each.kind is inspect.Parameter.VAR_POSITIONAL), "args")
    return tuple(each.name for each in parameters if each.kind in _POSITIONAL), rest


def _plain(function: Callable[..., Any], calls: _Calls) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        span = calls.begin(args, kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            calls.failed(span, error)
            raise
        if span.is_recording:
            if inspect.isgenerator(result):
                span.leave()
                return _followed(cast("Generator[Any, Any, Any]", result), span, calls)
            if inspect.isasyncgen(result):
                span.leave()
                return _followed_async(cast("AsyncGenerator[Any, Any]", result), span, calls)
            if inspect.iscoroutine(result):
                span.leave()
                return _awaited(cast("Coroutine[Any, Any, Any]", result), span, calls)
        calls.returned(span, result)
        return result

    return call


def _coroutine(function: Callable[..., Coroutine[Any, Any, Any]], calls: _Calls) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        span = calls.begin(args, kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            calls.failed(span, error)
            raise
        calls.returned(span, result)
        return result

    return call


def _generator(function: Callable[..., Generator[Any, Any, Any]], calls: _Calls) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        span = calls.begin(args, kwargs)
        span.leave()
        return (yield from _followed(function(*args, **kwargs), span, calls))

    return call


def _async_generator(function: Callable[..., AsyncGenerator[Any, Any]], calls: _Calls) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        span = calls.begin(args, kwargs)
        span.leave()
        following = _followed_async(function(*args, **kwargs), span, calls)
        step: Callable[[], Any] = following.__anext__
        while True:
            try:
                item = await step()
            except StopAsyncIteration:
                return
            try:
                step = functools.partial(following.asend, (yield item))
            except GeneratorExit:
                await following.aclose()
                raise
            except BaseException as error:  # noqa: BLE001  (thrown in by the caller: the generator's own to handle)
                step = functools.partial(following.athrow, error)

    return call


async def _awaited(result: Coroutine[Any, Any, Any], span: Span, calls: _Calls) -> Any:
    span.enter()
    try:
        value = await result
    except BaseException as error:
        calls.failed(span, error)
        raise
    calls.returned(span, value)
    return value


class _Pieces:
    """What a generator gave, and when the first came."""

    __slots__ = ("_calls", "_gathered", "_span", "_start")

    def __init__(self, span: Span, calls: _Calls) -> None:
        self._span = span
        self._calls = calls
        keeps = span.is_recording and calls.plan.captures_output
        self._gathered = Gathered(calls.plan.reduce) if keeps else None
        self._start = time.perf_counter() if span.is_recording and calls.plan.timed else None

    def add(self, item: object) -> None:
        if self._start is not None:
            self._span.set(first_token_ms=round((time.perf_counter() - self._start) * 1000, 3))
            self._start = None
        if self._gathered is not None:
            self._gathered.add(item)

    def end(self, error: BaseException | None = None, result: object = None) -> None:
        span = self._span
        if self._gathered is not None and not span.has_output:
            output = self._gathered.output()
            span.set(output=output if result is None else {"items": output, "returned": values.plain(result)})
        if error is not None:
            span.failed(error)
        span.end()


def _followed(inner: Generator[Any, Any, Any], span: Span, calls: _Calls) -> Generator[Any, Any, Any]:
    pieces = _Pieces(span, calls)
    step: Callable[[], Any] = functools.partial(next, inner)
    try:
        while True:
            span.enter()
            try:
                item = step()
            except StopIteration as stop:
                pieces.end(result=stop.value)
                return stop.value
            finally:
                span.leave()
            pieces.add(item)
            try:
                step = functools.partial(inner.send, (yield item))
            except GeneratorExit:
                inner.close()
                pieces.end()
                raise
            except BaseException as error:  # noqa: BLE001  (thrown in by the caller: the generator's own to handle)
                step = functools.partial(inner.throw, error)
    except GeneratorExit:
        raise
    except BaseException as error:
        pieces.end(error)
        raise


async def _followed_async(inner: AsyncGenerator[Any, Any], span: Span, calls: _Calls) -> AsyncGenerator[Any, Any]:
    pieces = _Pieces(span, calls)
    step: Callable[[], Any] = inner.__anext__
    try:
        while True:
            span.enter()
            try:
                item = await step()
            except StopAsyncIteration:
                pieces.end()
                return
            finally:
                span.leave()
            pieces.add(item)
            try:
                step = functools.partial(inner.asend, (yield item))
            except GeneratorExit:
                await inner.aclose()
                pieces.end()
                raise
            except BaseException as error:  # noqa: BLE001  (thrown in by the caller: the generator's own to handle)
                step = functools.partial(inner.athrow, error)
    except GeneratorExit:
        raise
    except BaseException as error:
        pieces.end(error)
        raise
