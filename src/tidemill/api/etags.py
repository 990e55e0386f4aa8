"""Entity tags (RFC 9110): what a caller has already is answered with 304; what it did not see is not overwritten, 412.

A route whose resource can be written names its state: `response.headers["etag"] = tag(version, moved_ns)`. The routes that
write it take `if_match: IfMatch`, and call `if_match.check_state(…)` in the transaction that writes. Every other answer to a
GET gets a tag of its bytes, so that it can be asked for conditionally too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill.api.problems import problem_response
from tidemill.core.errors import Invalid, NotFound, PreconditionFailed

_IMMUTABLE: Final = "private, max-age=60"
_FRESH: Final = "private, no-cache"
_LENGTH: Final = 32
_PACKED: Final = ("-gzip", "-zstd")


def tag(*state: object) -> str:
    """The strong tag of a resource in this state; the same state has the same tag in every process."""
    text = "\x1f".join("" if each is None else str(each) for each in state)
    return f'"{hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_LENGTH]}"'


def tag_beside(state: str, *beside: object) -> str:
    """The tag of an answer that has more in it than the state that a caller can change: numbers that move by themselves.

    `If-None-Match` is compared with the whole, `If-Match` with the state, which is its part before the dot.
    """
    return f'{state[:-1]}.{tag(*beside)[1:9]}"'


def immutable(digest: str, *beside: object) -> dict[str, str]:
    """Headers of what never changes: its digest as tag, to be kept by the caller for a minute, for it may be deleted.

    `beside` is what stands in the answer and is outside the digest: a description, tags.
    """
    return {"etag": f'"{digest}.{tag(*beside)[1:9]}"', "cache-control": _IMMUTABLE}


class Precondition:
    """`If-Match` and `If-None-Match` of a request that changes something."""

    def __init__(self, if_match: Sequence[str] | None = None, *, must_be_new: bool = False) -> None:
        self._if_match = if_match
        self._must_be_new = must_be_new

    def check(self, now: str | None) -> None:
        """Raise `PreconditionFailed` unless the tag of what is there (None: nothing) is one that the request named.

        Call it in the transaction that writes. A request without a condition passes.
        """
        if self._must_be_new and now is not None:
            raise PreconditionFailed("it exists already", hint="Leave If-None-Match out to replace it.")
        if self._if_match is None:
            return
        if now is None:
            raise PreconditionFailed(
                "it does not exist, and If-Match names a state of it", hint="Leave If-Match out to make it."
            )
        if not any(each in {"*", now} or each.startswith(now[:-1] + ".") for each in self._if_match):
            shown = ", ".join(self._if_match)[:200]
            raise PreconditionFailed(
                f"it has changed: If-Match names {shown}, and the tag is {now} now",
                hint="Get it again, look at what changed, and send its new ETag.",
            )

    def check_state(self, now: Callable[[], str]) -> None:
        """`check` of a tag that takes reading the resource, which is read only for a request with a condition.

        A resource that does not exist (`NotFound`) has no tag.
        """
        if self._if_match is None and not self._must_be_new:
            return
        try:
            found: str | None = now()
        except NotFound:
            found = None
        self.check(found)


async def _precondition(request: Request) -> Precondition:
    if_match = request.headers.getlist("if-match")
    must_be_new = request.headers.get("if-none-match", "").strip() == "*"
    if not if_match:
        return Precondition(must_be_new=must_be_new)
    return Precondition(_tags(",".join(if_match)), must_be_new=must_be_new)  # without a tag it names no state, and never holds


def takes_condition(route: APIRoute) -> bool:
    """Whether a route keeps `If-Match`."""
    return any(each.call is _precondition for each in route.dependant.dependencies)


IfMatch = Annotated[Precondition, Depends(_precondition)]
"""The condition of a request, to be checked in its transaction."""


class Conditional:
    """ASGI middleware: tags answers to GET that have no tag, and answers 304 to a caller who has the tag already."""

    def __init__(self, app: ASGIApp, *, takes_condition: Callable[[str, str], bool]) -> None:
        self._app = app
        self._takes_condition = takes_condition

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on with a `send` that compares. A change whose route cannot keep the condition is refused, not made."""
        if scope["method"] != "GET":
            if not self._is_kept(scope):
                refused = Invalid(
                    "this route takes no If-Match: it cannot promise that nothing changed in between",
                    where="header.if-match",
                    hint="Leave it out; nothing was changed.",
                )
                await problem_response(refused)(scope, receive, send)
                return
            await self._app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == b"if-none-match"]
        known = _tags(b",".join(given).decode("latin-1")) if given else []
        await self._app(scope, receive, _Sender(known, send))

    def _is_kept(self, scope: Scope) -> bool:
        has_one = any(name == b"if-match" for name, _ in scope["headers"])
        return not has_one or self._takes_condition(scope["method"], scope["path"])


class _Sender:
    """`send` of one answer; waits with the start for the first of the body."""

    def __init__(self, known: Sequence[str], send: Send) -> None:
        self._known = known
        self._send = send
        self._start: Message | None = None
        self._is_done = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] == 200:
                self._start = message
                return
        elif self._start is not None:
            start, self._start = self._start, None
            start, self._is_done = self._compared(start, message)
            await self._send(start)
            if self._is_done:
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        if not self._is_done:
            await self._send(message)

    def _compared(self, start: Message, message: Message) -> tuple[Message, bool]:
        headers: list[tuple[bytes, bytes]] = list(start.get("headers", ()))
        names = {name: value for name, value in headers}  # noqa: C416  (dict() would not take the type)
        found = names.get(b"etag")
        if found is None and not message.get("more_body", False) and names.get(b"cache-control") != b"no-store":
            found = f'W/"{hashlib.sha256(message.get("body", b"")).hexdigest()[:_LENGTH]}"'.encode()
            headers.append((b"etag", found))
        if found is not None and b"cache-control" not in names:
            headers.append((b"cache-control", _FRESH.encode()))
        weak = "" if found is None else found.decode("latin-1").removeprefix("W/")
        if found is None or not ("*" in self._known or weak in {each.removeprefix("W/") for each in self._known}):
            return {**start, "headers": headers}, False
        kept = [each for each in headers if each[0] not in {b"content-length", b"content-type"}]
        return {**start, "status": 304, "headers": kept}, True


def _tags(given: str) -> list[str]:
    """The tags of a header, without the mark of how they were packed. What is no tag matches nothing."""
    found: list[str] = []
    for each in given.split(","):
        text = each.strip()
        for suffix in _PACKED:
            text = text.removesuffix(suffix + '"') + '"' if text.endswith(suffix + '"') else text
        if text:
            found.append(text)
    return found
