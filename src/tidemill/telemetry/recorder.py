"""Making spans. A span is passed on by hand, never through a context variable, so that its parent is always plain to see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

from tidemill.core.chat import Usage
from tidemill.core.clock import Clock, Ids, SystemClock
from tidemill.core.json import Json, JsonObject
from tidemill.core.logs import WITHIN
from tidemill.core.records import SpanKind, SpanRecord, SpanStatus
from tidemill.telemetry import genai
from tidemill.telemetry.traceparent import format_traceparent, parse_traceparent

Sink: TypeAlias = Callable[[SpanRecord], None]
_NO_USAGE: Final = Usage()
_LONGEST_ERROR: Final = 2000


class _Unset(Enum):
    """Tells "not given" from None, which is a value that an input or output may have."""

    token = 0


_UNSET: Final = _Unset.token


class _Trace:
    """What all spans of one trace share. Times are counted from one reading of the clock, so that a jump of it does no harm."""

    __slots__ = ("clock", "ids", "sink", "start_monotonic", "start_ns", "trace_id")

    def __init__(self, sink: Sink, ids: Ids, clock: Clock, trace_id: str) -> None:
        self.sink = sink
        self.ids = ids
        self.clock = clock
        self.trace_id = trace_id
        self.start_ns = clock.now_ns()
        self.start_monotonic = clock.monotonic()

    def now_ns(self) -> int:
        return self.start_ns + round((self.clock.monotonic() - self.start_monotonic) * 1e9)


class Span:
    """One piece of work, from its making to `end`. A context manager: an exception marks it failed and goes on.

    What is given to `input`, `output` and `attributes` is kept by reference until the span is stored: do not change it after.
    """

    __slots__ = (
        "_attributes", "_cost", "_ended", "_error", "_input", "_model", "_output", "_parent_id", "_start_ns", "_status",
        "_trace", "_usage", "endpoint", "kind", "name", "project", "release", "session", "span_id", "step", "tags", "user",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913  (made by Recorder.trace and Span.child only)
        self,
        trace: _Trace,
        *,
        name: str,
        kind: SpanKind,
        parent_id: str | None,
        project: str,
        release: str | None,
        endpoint: str | None,
        user: str | None,
        session: str | None,
        tags: tuple[str, ...],
        step: str | None,
        model: str | None,
        input: Json,  # noqa: A002  (the field's name in SpanRecord)
        attributes: JsonObject | None,
    ) -> None:
        self._trace = trace
        self.span_id = trace.ids.span()
        self.name = name
        self.kind: SpanKind = kind
        self._parent_id = parent_id
        self.project = project
        self.release = release
        self.endpoint = endpoint
        self.user = user
        self.session = session
        self.tags = tags
        self.step = step
        self._model = model
        self._input = input
        self._output: Json = None
        self._usage = _NO_USAGE
        self._cost: float | None = None
        self._attributes: dict[str, Json] = dict(attributes) if attributes else {}
        self._status: SpanStatus = "ok"
        self._error: str | None = None
        self._ended = False
        self._start_ns = trace.now_ns()

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self._trace.trace_id

    @property
    def traceparent(self) -> str:
        """The W3C header by which a callee joins this trace below this span."""
        return format_traceparent(self._trace.trace_id, self.span_id)

    def child(
        self,
        name: str,
        *,
        kind: SpanKind,
        input: Json = None,  # noqa: A002  (the field's name in SpanRecord)
        step: str | None = None,
        model: str | None = None,
        attributes: JsonObject | None = None,
    ) -> Span:
        """Begin a span below this one; it inherits project, release, endpoint, user, session, tags and (unless given) step."""
        return Span(
            self._trace,
            name=name,
            kind=kind,
            parent_id=self.span_id,
            project=self.project,
            release=self.release,
            endpoint=self.endpoint,
            user=self.user,
            session=self.session,
            tags=self.tags,
            step=self.step if step is None else step,
            model=model,
            input=input,
            attributes=attributes,
        )

    def set(
        self,
        *,
        input: Json | Literal[_Unset.token] = _UNSET,  # noqa: A002  (the field's name in SpanRecord)
        output: Json | Literal[_Unset.token] = _UNSET,
        usage: Usage | None = None,
        cost: float | None | Literal[_Unset.token] = _UNSET,
        model: str | None = None,
        error: str | None = None,
        attributes: Mapping[str, Json] | None = None,
        release: str | None = None,
    ) -> None:
        """Note what became known; what is not given stays. `error` marks the span failed; `attributes` are merged."""
        if input is not _UNSET:
            self._input = input
        if output is not _UNSET:
            self._output = output
        if usage is not None:
            self._usage = usage
        if cost is not _UNSET:
            self._cost = cost
        if model is not None:
            self._model = model
        if error is not None:
            self._status = "error"
            self._error = error[:_LONGEST_ERROR]
        if attributes is not None:
            self._attributes.update(attributes)
        if release is not None:
            self.release = release

    def end(self) -> None:
        """Finish the span and hand its record to the sink. A second call does nothing."""
        if self._ended:
            return
        self._ended = True
        trace = self._trace
        trace.sink(
            SpanRecord(
                trace_id=trace.trace_id,
                span_id=self.span_id,
                parent_id=self._parent_id,
                name=self.name,
                kind=self.kind,
                start_ns=self._start_ns,
                end_ns=trace.now_ns(),
                project=self.project,
                status=self._status,
                error=self._error,
                input=self._input,
                output=self._output,
                model=self._model,
                usage=self._usage,
                cost=self._cost,
                release=self.release,
                endpoint=self.endpoint,
                step=self.step,
                user=self.user,
                session=self.session,
                tags=self.tags,
                attributes=self._attributes,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if error is not None and self._error is None:
            self.set(error=_describe(error))
        self.end()


class Recorder:
    """Begins traces. `sink` is given each finished span; it must return at once and never raise."""

    __slots__ = ("_clock", "_ids", "_sink")

    def __init__(self, sink: Sink, *, ids: Ids, clock: Clock) -> None:
        self._sink = sink
        self._ids = ids
        self._clock = clock

    def trace(  # noqa: PLR0913  (everything that a trace is later found by)
        self,
        name: str,
        *,
        kind: SpanKind,
        project: str,
        release: str | None = None,
        endpoint: str | None = None,
        user: str | None = None,
        session: str | None = None,
        tags: Sequence[str] = (),
        traceparent: str | None = None,
        input: Json = None,  # noqa: A002  (the field's name in SpanRecord)
        attributes: JsonObject | None = None,
    ) -> Span:
        """Begin the root span of a trace, or continue a caller's trace by its `traceparent` (an invalid one is ignored)."""
        caller = parse_traceparent(traceparent)
        trace_id, parent_id = caller or (self._ids.trace(), None)
        if caller:
            attributes = {**(attributes or {}), genai.REMOTE_PARENT: True}
        span = Span(
            _Trace(self._sink, self._ids, self._clock, trace_id),
            name=name,
            kind=kind,
            parent_id=parent_id,
            project=project,
            release=release,
            endpoint=endpoint,
            user=user,
            session=session,
            tags=tuple(tags),
            step=None,
            model=None,
            input=input,
            attributes=attributes,
        )
        WITHIN.set((trace_id, span.span_id))  # what is logged from here on belongs to it
        return span


def null_recorder() -> Recorder:
    """A recorder whose spans go nowhere; for callers that do not trace."""
    clock = SystemClock()
    return Recorder(_discard, ids=Ids(clock=clock), clock=clock)


def _discard(record: SpanRecord) -> None:
    """Keep nothing."""


def _describe(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "cancelled"
    text = str(error)
    return text or type(error).__name__
