"""What a route may know of a request: what conditions read, and the keys by which requests keep to one target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tidemill.core.chat import ChatRequest
from tidemill.core.errors import Invalid
from tidemill.core.parts import Message, Text
from tidemill.models.caller import Caller
from tidemill.models.routing.rendezvous import key_of
from tidemill.models.routing.spec import Route, Target

NAMES: Final = (
    "request", "user", "team", "key", "session", "endpoint", "environment", "tags", "headers", "priority", "cost", "length",
    "language",
)  # fmt: skip
"""What a condition may read."""

LanguageOf = Callable[[str], str]
"""From a text to the ISO 639-1 code of its language; empty when it cannot be told."""
PriceOf = Callable[[Target, int, int], "float | None"]
"""US dollars of so many tokens in and out at a target; None where no price is known."""

_CHARACTERS_A_TOKEN: Final = 4
_TOKENS_A_MEDIUM: Final = 800
_ANSWER: Final = 512  # tokens of an answer when the request does not bound it


class Facts:
    """One request, as a route sees it. Nothing is computed before it is read."""

    __slots__ = ("_language", "_language_of", "_length", "_price_of", "_values", "caller", "request", "stream")

    def __init__(
        self, request: ChatRequest, *, caller: Caller, stream: bool, price_of: PriceOf, language_of: LanguageOf | None = None
    ) -> None:
        self.request = request
        self.caller = caller
        self.stream = stream
        self._price_of = price_of
        self._language_of = language_of
        self._length: int | None = None
        self._language: str | None = None
        self._values: dict[str, object] | None = None

    @property
    def length(self) -> int:
        """Tokens of the input, estimated: a quarter of its characters, and 800 for each picture, sound or file."""
        if self._length is None:
            self._length = estimate(self.request.messages)
        return self._length

    @property
    def language(self) -> str:
        """The language of the last message of the user; empty when it cannot be told."""
        if self._language is None:
            asked = next((each.text for each in reversed(self.request.messages) if each.role == "user"), "")
            self._language = self._language_of(asked) if self._language_of is not None and asked.strip() else ""
        return self._language

    def cost(self, target: Target) -> float | None:
        """US dollars that the request would cost at a target, estimated with the longest answer it allows, or 512 tokens."""
        most = self.request.params.get("max_tokens") or self.request.params.get("max_completion_tokens")
        out = int(most) if isinstance(most, int | float) and most > 0 else _ANSWER
        if target.price is not None:
            return target.price.of(self.length, out)
        return self._price_of(target, self.length, out)

    def holds(self, target: Target) -> bool:
        """Whether the target's condition holds. One that cannot be computed does not: a missing tag is no error."""
        if target.when is None:
            return True
        names = target.when.names
        values = self._known()
        if "length" in names:
            values["length"] = self.length
        if "language" in names:
            values["language"] = self.language
        if "cost" in names:
            values["cost"] = self.cost(target)
        try:
            return target.when.holds(values)
        except Invalid:
            return False

    def sticky_key(self, route: Route) -> bytes | None:
        """The key that keeps a caller at one target; None where the route or the request names none."""
        if route.sticky is None:
            return None
        named = getattr(self.caller, route.sticky)
        return key_of(f"{route.sticky}:{named}") if named else None

    def prefix_key(self, route: Route) -> bytes | None:
        """The key of the conversation's beginning: up to the first message of a user, and at most so many characters."""
        if route.affinity is None or not self.request.messages:
            return None
        return key_of(_beginning(self.request.messages, most=route.affinity.characters))

    def _known(self) -> dict[str, object]:
        if self._values is None:
            caller, request = self.caller, self.request
            has_media = any(not isinstance(part, Text) for each in request.messages for part in each.parts)
            self._values = {
                "request": {
                    **request.params, "model": request.model, "stream": self.stream, "messages": len(request.messages),
                    "tools": len(request.tools), "media": has_media, "json": request.output_schema is not None,
                },
                "user": caller.user or "", "team": caller.team or "", "key": caller.key or "",
                "session": caller.session or "", "endpoint": caller.endpoint or "", "environment": caller.environment,
                "tags": _plain(caller.tags), "headers": _plain(caller.headers), "priority": caller.priority,
            }  # fmt: skip
        return self._values


def estimate(messages: Sequence[Message]) -> int:
    """Tokens of messages, estimated."""
    characters = media = 0
    for message in messages:
        for part in message.parts:
            if isinstance(part, Text):
                characters += len(part.text)
            elif (text := getattr(part, "arguments", None) or getattr(part, "content", None)) is not None:
                characters += len(text)
            else:
                media += 1
    return characters // _CHARACTERS_A_TOKEN + media * _TOKENS_A_MEDIUM


def _beginning(messages: Sequence[Message], *, most: int) -> str:
    found: list[str] = []
    size = 0
    for message in messages:
        text = f"{message.role}\n{message.text}\n"
        found.append(text[: most - size])
        size += len(found[-1])
        if size >= most or message.role == "user":
            break
    return "".join(found)


def _plain(given: Mapping[str, str]) -> dict[str, str]:
    return dict(given)
