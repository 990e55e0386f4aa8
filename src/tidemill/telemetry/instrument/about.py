"""Who and what a piece of work is for: the session, the user and the tags of every span that is made within.

They travel in OpenTelemetry's context, so threads, tasks and queues carry them as they carry the trace. They leave the process
only when they are shared, as baggage, for whoever is called then reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import Token
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, cast

from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from opentelemetry.util.types import AttributeValue

from tidemill.telemetry import genai

_KEY: Final = context.create_key("tidemill-about")
_NOTHING: Final[Mapping[str, AttributeValue]] = {}
_LONGEST: Final = 1000


@dataclass(frozen=True, slots=True)
class _About:
    session: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()

    def attributes(self) -> Mapping[str, AttributeValue]:
        found: dict[str, AttributeValue] = {}
        if self.session is not None:
            found[genai.SESSION] = self.session
        if self.user is not None:
            found[genai.USER] = self.user
        if self.tags:
            found[genai.TAGS] = self.tags
        return found


def about(within: Context | None = None) -> Mapping[str, AttributeValue]:
    """The attributes of a span that begins here: what was said in this process, else what a caller shared."""
    said = context.get_value(_KEY, within)
    if isinstance(said, _About):
        return said.attributes()
    shared = baggage.get_all(within)
    return _shared(shared).attributes() if shared else _NOTHING


class Session:
    """Says for whom the work within it is. A context manager, `with` or `async with`; inner ones add to outer ones."""

    __slots__ = ("_about", "_shared", "_tokens")

    def __init__(
        self, session: str | None = None, *, user: str | None = None, tags: Sequence[str] = (), shared: bool = False
    ) -> None:
        self._about = _About(_short(session), _short(user), tuple(map(str, (tags,) if isinstance(tags, str) else tags)))
        self._shared = shared
        self._tokens: list[Token[Context]] = []

    def __enter__(self) -> Self:
        outer = context.get_value(_KEY)
        if not isinstance(outer, _About):
            outer = _shared(baggage.get_all())
        mine = self._about
        both = _About(
            outer.session if mine.session is None else mine.session,
            outer.user if mine.user is None else mine.user,
            tuple(dict.fromkeys((*outer.tags, *mine.tags))),
        )
        within = context.set_value(_KEY, both)
        if self._shared:
            within = _share(both, within)
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attributes(both.attributes())
        self._tokens.append(context.attach(within))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        context.detach(self._tokens.pop())

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def _share(said: _About, within: Context) -> Context:
    for name, value in said.attributes().items():
        text = value if isinstance(value, str) else " ".join(cast("Sequence[str]", value))
        within = baggage.set_baggage(name, text, within)
    return within


def _shared(carried: Mapping[str, object]) -> _About:
    session, user, tags = (carried.get(name) for name in (genai.SESSION, genai.USER, genai.TAGS))
    return _About(
        session if isinstance(session, str) else None,
        user if isinstance(user, str) else None,
        tuple(tags.split()) if isinstance(tags, str) else (),
    )


def _short(value: object) -> str | None:
    return None if value is None else str(value)[:_LONGEST]
