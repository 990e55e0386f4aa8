"""A trace carried on: into an HTTP request, a message of a queue, a call of MCP, another thread, and out of them again.

What is carried is `traceparent` and `tracestate` (W3C Trace Context) and, for what was shared, `baggage`. MCP has the same
three keys in `params._meta` (its SEP-414, and OpenTelemetry's conventions for MCP).
"""

from __future__ import annotations

import contextvars
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextvars import Token
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar, cast

from opentelemetry import context, propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

P = ParamSpec("P")
R = TypeVar("R")
_W3C: Final = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
_META: Final = "_meta"


def headers(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The headers by which a server that is called joins this trace, and `more`. Nothing is added outside of a trace."""
    found = dict(more or {})
    propagate.inject(found)
    return found


def inject(message: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put the trace into a message, or into its headers; the same message.

    In a request of MCP (a mapping with `params`, or `params` with `_meta`), it goes where MCP has it.
    """
    carrier = message
    params = message.get("params")
    if isinstance(params, MutableMapping) and "method" in message:
        carrier = cast("MutableMapping[str, Any]", params).setdefault(_META, {})
    elif isinstance(message.get(_META), MutableMapping):
        carrier = message[_META]
    _W3C.inject(carrier)
    return message


class Extracted:
    """What runs within it belongs to the trace that a caller sent. A context manager, `with` or `async with`."""

    __slots__ = ("_carrier", "_tokens")

    def __init__(self, carrier: object) -> None:
        self._carrier = carrier
        self._tokens: list[Token[Context]] = []

    def __enter__(self) -> Self:
        found = _values_of(self._carrier)
        self._tokens.append(context.attach(_W3C.extract(found, getter=_GETTER)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        context.detach(self._tokens.pop())

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def bind(function: Callable[P, R]) -> Callable[P, R]:
    """The function, to be called in another thread or later, within the trace of here and now.

    Threads and executors start outside of any trace, while tasks of asyncio inherit it. It can be called many times, also at
    once.
    """
    here = contextvars.copy_context()
    if inspect.iscoroutinefunction(function):
        raise TypeError("bind takes a plain function: a coroutine keeps the trace of where its task was made")

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return here.copy().run(function, *args, **kwargs)

    return call


def _values_of(carrier: Any) -> Mapping[str, object]:
    """The three values out of headers, a message, a request of MCP, or its `_meta` as a mapping or an object. Never raises."""
    for _ in range(2):  # a request of MCP has them two levels down
        if isinstance(carrier, Mapping):
            known = cast("Mapping[str, Any]", carrier)
            below = known.get("params" if "method" in known else _META)
        else:
            below = getattr(carrier, "meta", None) or getattr(carrier, "params", None)
        if below is None:
            break
        carrier = below
    try:
        return {_text(key).lower(): _text(value) for key, value in _pairs(carrier)}
    except (TypeError, ValueError):
        return {}


def _pairs(carrier: Any) -> Iterable[tuple[object, object]]:
    if callable(getattr(carrier, "items", None)):
        return carrier.items()
    if isinstance(carrier, list | tuple):
        return cast("Iterable[tuple[object, object]]", carrier)
    fields: dict[object, object] = dict(getattr(carrier, "__dict__", {}))
    fields.update(getattr(carrier, "model_extra", None) or {})
    return fields.items()


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


class _Lower(Getter[Mapping[str, object]]):
    """Reads headers by their names in lower case."""

    def get(self, carrier: Mapping[str, object], key: str) -> list[str] | None:
        value = carrier.get(key.lower())
        return None if value is None else [str(value)]

    def keys(self, carrier: Mapping[str, object]) -> list[str]:
        return list(carrier)


_GETTER: Final = _Lower()
