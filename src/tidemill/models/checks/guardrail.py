"""A guardrail as a call meets it, and the error that it refuses with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from tidemill.core.errors import Denied
from tidemill.core.parts import ROLES

Action: TypeAlias = Literal["allow", "redact", "block", "escalate"]
Point: TypeAlias = Literal["input", "output", "context", "tool"]
OnError: TypeAlias = Literal["closed", "open"]
Finding: TypeAlias = tuple[int, int, str]
"""Start, end (in characters) and label."""
Find: TypeAlias = Callable[[str], Awaitable[Sequence[Finding]]]

TIMEOUT: Final = 10.0
CHARACTERS: Final = 200
SECONDS: Final = 1.0
HINT: Final = "Change what it found, or ask whoever owns the guardrail."
_WHAT: Final = {"input": "the input", "output": "the answer", "context": "the retrieved text", "tool": "what a tool gave"}


class Guardrail(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One guardrail. `point` is what it reads: requests, answers, or what tools gave.

    `find` looks at one text, for at most `timeout` seconds. When it cannot, `on_error` `closed` refuses the text and `open`
    lets it pass. Of a stream `characters` are held back until more has come or `seconds` are over. `roles` are those whose
    words an input guardrail reads. `reads_all`: what it finds goes by the whole text, not by its last piece.
    """

    ref: str
    digest: str
    point: Point
    action: Action
    find: Find
    replacement: str = "[{label}]"
    message: str | None = None
    on_error: OnError = "closed"
    timeout: float = TIMEOUT
    characters: int = CHARACTERS
    seconds: float = SECONDS
    roles: frozenset[str] = frozenset(ROLES)
    reads_all: bool = False

    @property
    def name(self) -> str:
        """Its name without the kind."""
        return self.ref.partition("/")[2]

    def reads(self, role: str) -> bool:
        """Whether it reads what this role says in a request."""
        return role == "tool" if self.point == "tool" else role in self.roles

    def refusal(self, labels: Sequence[str]) -> Blocked:
        """The error that says what was found, by label and never the text itself."""
        refusal = Blocked(f"{self.ref} blocked {_WHAT[self.point]}: {', '.join(labels)}", hint=HINT, where=self.ref)
        refusal.answer = self.message
        return refusal


class Blocked(Denied):
    """A guardrail refused a text; `answer` is what to say instead, when the guardrail says so."""

    answer: str | None = None
