"""`tidemill.trace`: what a program says about its own work, as spans of OpenTelemetry.

Only OpenTelemetry's API is needed. Without an SDK nothing is recorded, at next to no cost; `tidemill.connect()` sets one up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar, overload

from opentelemetry import trace as otel

from tidemill.core.records import SpanKind
from tidemill.telemetry.instrument import carry
from tidemill.telemetry.instrument.about import Session
from tidemill.telemetry.instrument.functions import Plan, traced
from tidemill.telemetry.instrument.gather import Reduce
from tidemill.telemetry.instrument.spans import UNSET, Span, begin, start_attributes
from tidemill.version import __version__

P = ParamSpec("P")
R = TypeVar("R")
SCOPE: Final = "tidemill"


class Step:
    """What `tidemill.trace("name", …)` gives: a decorator, and a context manager that gives its `Span`."""

    __slots__ = ("_input", "_open", "_plan")

    def __init__(self, plan: Plan, given: object) -> None:
        self._plan = plan
        self._input = given
        self._open: list[Span] = []

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, each call of which is a span."""
        return traced(function, self._plan)

    def __enter__(self) -> Span:
        plan = self._plan
        span = begin(plan.tracer, plan.name or "step", plan.attributes)
        if self._input is not UNSET and plan.captures_input:
            span.set(input=self._input)
        self._open.append(span)
        return span

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        span = self._open.pop()
        if error is not None:
            span.failed(error)
        span.end()

    async def __aenter__(self) -> Span:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


class Tracing:
    """Records functions and blocks of code as spans, below the current span and above what is recorded within them.

    `@tidemill.trace` and `@tidemill.trace("find", kind="retriever")` record each call of a function: its arguments as input,
    its result as output, its exception. `with tidemill.trace("step", input=…) as span:` records a block; `span.set(output=…)`.
    """

    __slots__ = ("_tracer",)

    def __init__(self) -> None:
        self._tracer = otel.get_tracer(SCOPE, __version__)

    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def __call__(
        self,
        name: str | None = None,
        /,
        *,
        kind: SpanKind = "chain",
        input: object = UNSET,
        capture: bool = True,
        captures_input: bool | None = None,
        captures_output: bool | None = None,
        model: str | None = None,
        provider: str | None = None,
        attributes: Mapping[str, object] | None = None,
        reduce: Reduce | None = None,
    ) -> Step: ...

    def __call__(  # noqa: PLR0913  (everything that a span may have from its start)
        self,
        name: Any = None,
        /,
        *,
        kind: SpanKind = "chain",
        input: object = UNSET,  # noqa: A002  (the field's name in SpanRecord)
        capture: bool = True,
        captures_input: bool | None = None,
        captures_output: bool | None = None,
        model: str | None = None,
        provider: str | None = None,
        attributes: Mapping[str, object] | None = None,
        reduce: Reduce | None = None,
    ) -> Any:
        """A decorator and context manager; given a function, the recorded function.

        `name` defaults to the function's. `kind` is one of chain, agent, llm, retriever, tool, embedding, reranker, guardrail,
        evaluator, other. `capture=False` records neither arguments nor result; `captures_input` and `captures_output` decide
        each by itself. `reduce` makes the output of a generator's pieces, for pieces that are not text. Raises `Invalid` for an
        unknown kind, and for a class.
        """
        plan = Plan(
            tracer=self._tracer,
            name=name if isinstance(name, str) else None,
            attributes=start_attributes(kind, model=model, provider=provider, attributes=attributes),
            captures_input=capture if captures_input is None else captures_input,
            captures_output=capture if captures_output is None else captures_output,
            timed=kind == "llm",
            reduce=reduce,
        )
        return Step(plan, input) if name is None or isinstance(name, str) else traced(name, plan)

    def session(self, session: str, /, *, user: str | None = None, tags: tuple[str, ...] = (), shared: bool = False) -> Session:
        """`with tidemill.trace.session("s1"):` all spans made within belong to this session."""
        return Session(session, user=user, tags=tags, shared=shared)

    def user(self, user: str, /, *, shared: bool = False) -> Session:
        """`with tidemill.trace.user("u1"):` all spans made within are for this user."""
        return Session(user=user, shared=shared)

    def tags(self, *tags: str, shared: bool = False) -> Session:
        """`with tidemill.trace.tags("beta"):` all spans made within have these tags."""
        return Session(tags=tags, shared=shared)

    def current(self) -> Span:
        """The span that is current, whoever made it; to set what became known. Ending it is for whoever began it."""
        return Span(otel.get_current_span(), None)

    def headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The headers by which a server that is called joins this trace, and `more`."""
        return carry.headers(more)

    def inject(self, message: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Put the trace into a message of a queue or a request of MCP; the same message."""
        return carry.inject(message)

    def extract(self, carrier: object) -> carry.Extracted:
        """`with tidemill.trace.extract(headers):` what runs within belongs to the trace of whoever sent them.

        Takes headers, a message, a request of MCP or its `_meta`. Without a valid trace in them, a trace of its own begins.
        """
        return carry.Extracted(carrier)

    def bind(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, to be called in a thread or an executor within the trace of here and now."""
        return carry.bind(function)


trace: Final = Tracing()
