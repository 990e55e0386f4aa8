"""One span of a user's program: begun as the current one, filled, ended. It never raises into the program."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextvars import Token
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal, get_args

from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Status, StatusCode, Tracer
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.util.types import AttributeValue

from tidemill.core.errors import Invalid
from tidemill.core.records import SpanKind
from tidemill.core.suggest import did_you_mean
from tidemill.telemetry import genai
from tidemill.telemetry.instrument import values
from tidemill.telemetry.instrument.about import about
from tidemill.telemetry.instrument.usage import usage_attributes

_KINDS: Final[tuple[str, ...]] = get_args(SpanKind)
_OPERATIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "llm": "chat", "agent": "invoke_agent", "tool": "execute_tool", "embedding": "embeddings", "retriever": "retrieval",
    }
)  # fmt: skip
_LONGEST_ERROR: Final = 2000
_OK: Final = Status(StatusCode.OK)


class _Unset(Enum):
    token = 0


UNSET: Final = _Unset.token


def start_attributes(
    kind: SpanKind, *, model: str | None = None, provider: str | None = None, attributes: Mapping[str, object] | None = None
) -> Mapping[str, AttributeValue]:
    """What a span says from its start. Raises `Invalid` for a kind that is none."""
    if kind not in _KINDS:
        near = did_you_mean(str(kind), _KINDS)
        raise Invalid(f"unknown kind of span {kind!r}", hint=near or f"One of {', '.join(_KINDS)}.")
    found: dict[str, AttributeValue] = {genai.KIND: kind}
    if kind in _OPERATIONS:
        found[genai.OPERATION] = _OPERATIONS[kind]
    if model is not None:
        found[genai.REQUEST_MODEL] = model
    if provider is not None:
        found[genai.PROVIDER] = provider
    for name, value in (attributes or {}).items():
        found[name] = _attribute(value)
    return found


class Span:
    """A span that runs. What is set after its end, or when nothing records it, is ignored.

    `is_recording` says whether anybody will see it; ask before you compute something only for it.
    """

    __slots__ = ("_failed", "_output", "_span", "_token", "is_recording")

    def __init__(self, span: OtelSpan, token: Token[Context] | None) -> None:
        self._span = span
        self._token = token
        self._output = False
        self._failed = False
        self.is_recording = span.is_recording()

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; all zero when nothing is recorded."""
        return format(self._span.get_span_context().trace_id, "032x")

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits; all zero when nothing is recorded."""
        return format(self._span.get_span_context().span_id, "016x")

    @property
    def traceparent(self) -> str:
        """The W3C header by which a callee joins this trace below this span."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self._span.get_span_context().trace_flags):02x}"

    @property
    def has_output(self) -> bool:
        """Whether an output was set."""
        return self._output

    def set(  # noqa: PLR0913  (everything that a span may have)
        self,
        *,
        input: object = UNSET,  # noqa: A002  (the field's name in SpanRecord)
        output: object = UNSET,
        documents: Sequence[object] | Literal[_Unset.token] = UNSET,
        usage: object = None,
        cost: float | None = None,
        model: str | None = None,
        provider: str | None = None,
        first_token_ms: float | None = None,
        error: str | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> None:
        """Note what became known; what is not given stays.

        `documents` is the output of a retriever or a reranker: each with `id`, `text`, `score`, best first. `usage` has
        `input_tokens` and `output_tokens` (or `prompt_tokens` and `completion_tokens`), as a mapping or an object; `cost` is in
        US dollars. `error` marks the span failed.
        """
        if not self.is_recording:
            return
        found: dict[str, AttributeValue] = {}
        if input is not UNSET:
            found[genai.INPUT] = values.encode(input)
        output = output if documents is UNSET else documents
        if output is not UNSET:
            found[genai.OUTPUT] = values.encode(output)
            self._output = True
        if usage is not None:
            found.update(usage_attributes(usage))
        found.update(_given(cost=cost, model=model, provider=provider, first_token_ms=first_token_ms))
        if attributes:
            found.update((name, _attribute(value)) for name, value in attributes.items())
        self._span.set_attributes(found)
        if error is not None:
            self._failed = True
            self._span.set_status(Status(StatusCode.ERROR, error[:_LONGEST_ERROR]))

    def took(self, arguments: object) -> None:
        """Note the input, quickly."""
        self._span.set_attribute(genai.INPUT, values.encode(arguments))

    def gave(self, result: object) -> None:
        """Note the output, quickly."""
        self._span.set_attribute(genai.OUTPUT, values.encode(result))

    def event(self, name: str, attributes: Mapping[str, object] | None = None) -> None:
        """Note that something happened now."""
        if self.is_recording:
            self._span.add_event(name, {key: _attribute(value) for key, value in (attributes or {}).items()})

    def failed(self, error: BaseException) -> None:
        """Mark the span failed by an exception, which is kept with where it was raised."""
        if not self.is_recording:
            return
        self._failed = True
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            self._span.set_status(Status(StatusCode.ERROR, "cancelled"))
            return
        self._span.set_status(Status(StatusCode.ERROR, _described(error)))
        self._span.record_exception(error)

    def leave(self) -> None:
        """Be the current span no longer, and go on."""
        token, self._token = self._token, None
        if token is not None:
            context.detach(token)

    def enter(self) -> None:
        """Be the current span again."""
        if self._token is None and self._span is not INVALID_SPAN:
            self._token = context.attach(set_span_in_context(self._span))

    def end(self) -> None:
        """Finish. A second call does nothing."""
        self.leave()
        if self.is_recording:
            self.is_recording = False
            if not self._failed:
                self._span.set_status(_OK)
            self._span.end()


_SILENT: Final = Span(INVALID_SPAN, None)


def begin(tracer: Tracer, name: str, attributes: Mapping[str, AttributeValue]) -> Span:
    """A span below the current one, which is the current one from now on. Without an SDK it is one that does nothing."""
    within = context.get_current()
    span = tracer.start_span(name, within, attributes=attributes)
    if span.is_recording():
        said = about(within)
        if said:
            span.set_attributes(said)
    elif not span.get_span_context().is_valid:
        return _SILENT
    return Span(span, context.attach(set_span_in_context(span, within)))


def _given(
    *, cost: float | None, model: str | None, provider: str | None, first_token_ms: float | None
) -> Mapping[str, AttributeValue]:
    said = {genai.COST: cost, genai.RESPONSE_MODEL: model, genai.PROVIDER: provider, genai.FIRST_TOKEN_MS: first_token_ms}
    return {name: value for name, value in said.items() if value is not None}


def _attribute(value: object) -> AttributeValue:
    """A value as an attribute takes it: what is no text, number or truth is JSON."""
    return value if isinstance(value, str | bool | int | float) else values.encode(value)


def _described(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  (a user's exception; recording it must not hide it)
        text = ""
    kind = type(error).__name__
    return f"{kind}: {text}"[:_LONGEST_ERROR] if text else kind
