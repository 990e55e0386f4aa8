"""Looking at one text with several guardrails at once, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from tidemill.core.errors import TidemillError, Unavailable
from tidemill.models.checks.guardrail import Finding, Guardrail

_MOST_HUNG: Final = 64
_NEVER: Final = (0, 0.0)
_hung: set[asyncio.Task[Sequence[Finding]]] = set()
"""Checks that were given up and do not let themselves be stopped."""

_PATIENCE: Final = 3
_late: dict[str, tuple[int, float]] = {}
"""How often in a row a guardrail took too long, by its digest, and until when it rests: a thread cannot be stopped."""


class Look(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one guardrail found in a text; `error` says why it could not look."""

    guardrail: Guardrail
    findings: Sequence[Finding] = ()
    error: str | None = None

    @property
    def labels(self) -> list[str]:
        """What it found, each kind once."""
        return list(dict.fromkeys(label for _, _, label in self.findings))


async def look(guardrails: Sequence[Guardrail], text: str) -> list[Look]:
    """What each of them finds, all at once; every one reads the text as it came, whatever the others replace in it.

    Raises `Unavailable` where one cannot look and its policy is `closed`. What is never done is waited for no longer than its
    time-out.
    """
    if len(guardrails) == 1:
        looks = [await _look(guardrails[0], text)]
    else:
        looks = list(await asyncio.gather(*(_look(each, text) for each in guardrails)))
    for each in looks:
        if each.error is not None and each.guardrail.on_error == "closed":
            ref = each.guardrail.ref
            hint = "Try again; on_error: open lets pass what it cannot look at."
            raise Unavailable(f"{ref} could not look at the text: {each.error}", where=ref, hint=hint)
    return looks


async def _look(guardrail: Guardrail, text: str) -> Look:
    if len(_hung) >= _MOST_HUNG:
        return Look(guardrail=guardrail, error=f"{_MOST_HUNG} looks that were given up have not ended yet")
    times, until = _late.get(guardrail.digest, _NEVER)
    if times >= _PATIENCE and asyncio.get_running_loop().time() < until:
        return Look(guardrail=guardrail, error=f"it took too long {times} times in a row, and rests")
    task = asyncio.ensure_future(guardrail.find(text))
    try:
        done, _ = await asyncio.wait((task,), timeout=guardrail.timeout)
    except asyncio.CancelledError:
        _give_up(task)
        raise
    if not done:
        _give_up(task)
        _late[guardrail.digest] = times + 1, asyncio.get_running_loop().time() + guardrail.timeout
        return Look(guardrail=guardrail, error=f"it took longer than {guardrail.timeout:g} s")
    if times:
        _late.pop(guardrail.digest, None)
    if task.cancelled():
        return Look(guardrail=guardrail, error="it was cancelled")
    error = task.exception()
    if error is None:
        return Look(guardrail=guardrail, findings=_within(task.result(), len(text)))
    # What a check raises may quote the text that it read.
    said = error.message if isinstance(error, TidemillError) else type(error).__name__
    return Look(guardrail=guardrail, error=said)


def _give_up(task: asyncio.Task[Sequence[Finding]]) -> None:
    task.cancel()
    _hung.add(task)
    task.add_done_callback(_ended)


def _ended(task: asyncio.Task[Sequence[Finding]]) -> None:
    _hung.discard(task)
    if not task.cancelled():
        task.exception()


def _within(findings: Sequence[Finding], length: int) -> Sequence[Finding]:
    """Places that are in the text and not empty."""
    return [(max(0, start), min(end, length), label) for start, end, label in findings if max(0, start) < min(end, length)]


def spans_of(looks: Sequence[Look]) -> list[tuple[int, int, str]]:
    """The places to replace, with what stands there instead, in order."""
    return sorted(
        (start, end, each.guardrail.replacement.replace("{label}", label))
        for each in looks
        if each.guardrail.action == "redact"
        for start, end, label in each.findings
    )


def redacted(text: str, spans: Sequence[tuple[int, int, str]]) -> str:
    """The text with every place replaced; of places that overlap, the first says by what."""
    pieces: list[str] = []
    end = 0
    for start, stop, replacement in spans:
        if stop <= end:
            continue
        if start >= end:
            pieces += [text[end:start], replacement]
        end = stop
    return "".join([*pieces, text[end:]])


def spread(texts: Sequence[str], spans: Sequence[tuple[int, int, str]]) -> list[str]:
    """The same for a text that comes in several pieces: what is replaced stands in the piece where it began."""
    changed: list[str] = []
    offset = 0
    for text in texts:
        end = offset + len(text)
        here = [
            (max(start, offset) - offset, min(stop, end) - offset, replacement if start >= offset else "")
            for start, stop, replacement in spans
            if start < end and stop > offset
        ]
        changed.append(redacted(text, here))
        offset = end
    return changed
