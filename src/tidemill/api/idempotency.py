"""`Idempotency-Key` on every request that changes something: sent again within a day, it gets the answer that it got.

A key belongs to its sender and project, and names one request: method, address and body. Only what was done is kept, a 2xx of
at most 4 MiB: a request that failed changed nothing and may be sent again under its key. An answer that shows a secret once
(`cache-control: no-store`, or one of our key texts in it) is never written down: its repetition is told that it was done.
The rights that the first one needed are asked again before its answer is repeated (`tidemill.api.replay`).
Answers that stream are not kept, and a blob's upload needs no key: its address is its content's.

The answer is kept after the change, not in its transaction: after a kill in between the request is carried out once more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Final

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidemill.api.bodies import Whole
from tidemill.api.problems import problem_response
from tidemill.api.replay import ASKED, KNOWN, Asked
from tidemill.core.clock import Clock
from tidemill.core.errors import Conflict, Invalid, KeyReused, TidemillError
from tidemill.store import idempotency
from tidemill.store.access import Principal
from tidemill.store.database import Database
from tidemill.store.idempotency import Answer, Slot

HEADER: Final = b"idempotency-key"
_CHANGES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_FORM: Final = re.compile(r"[\x21-\x7e]{1,255}")
_PROJECT: Final = re.compile(r"/api/v1/projects/([^/]+)/")
_SECRET: Final = re.compile(rb"tm_[0-9a-z]{1,32}_[A-Za-z0-9_-]{16,}|[?&#]token=")
_LARGEST: Final = 4 * 1024 * 1024
_WAIT: Final = 10.0  # seconds that a repetition waits for the first to end


class Idempotency:
    """ASGI middleware, inside of who is calling and with the body read.

    `applies` tells which methods on which paths; `process` is this server's id among those that share the database.
    """

    def __init__(
        self, app: ASGIApp, *, database: Database, clock: Clock, process: str, applies: Callable[[str, str], bool]
    ) -> None:
        self._app = app
        self._database = database
        self._clock = clock
        self._applies = applies
        self._process = process
        self._going: dict[tuple[str, str, str], anyio.Event] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry out, or answer as before."""
        keys = [value for name, value in scope["headers"] if name == HEADER]
        if not keys or scope["method"] not in _CHANGES or not self._applies(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            body = await _body(receive)
            slot = _slot(scope, keys, body)
            known = await self._claim(slot)
        except TidemillError as error:
            await problem_response(error)(scope, receive, send)
            return
        if known is not None:
            await self._app({**scope, KNOWN: known}, Whole(body, receive), send)
            return
        await self._carry_out(slot, scope, Whole(body, receive), send)

    async def _claim(self, slot: Slot) -> Answer | None:
        """The answer that is kept, or None when the request is ours to carry out."""
        place = (slot.project, slot.principal, slot.key)
        with anyio.move_on_after(_WAIT):
            while place in self._going:
                await self._going[place].wait()
        if place not in self._going:
            self._going[place] = anyio.Event()
            found: idempotency.Claim = "busy"
            try:
                found = await self._ask(slot)
            finally:
                if found != "mine":
                    self._going.pop(place).set()
            if found == "mine":
                return None
            if found == "other":
                raise KeyReused(
                    f"the Idempotency-Key {slot.key[:80]!r} came with another request before",
                    where="header.idempotency-key",
                    hint="Use a new key for a new request; a key is remembered for a day.",
                )
            if isinstance(found, Answer):
                return found
        raise Conflict(
            f"the request with the Idempotency-Key {slot.key[:80]!r} is still being carried out",
            hint="Send it again in a moment.",
            retry_after=2,
        )

    async def _ask(self, slot: Slot) -> idempotency.Claim:
        now_ns = self._clock.now_ns()
        is_shared = self._database.is_shared
        return await self._database.write(
            lambda db: idempotency.claim(db, slot, process=self._process, is_shared=is_shared, now_ns=now_ns)
        )

    async def _carry_out(self, slot: Slot, scope: Scope, receive: Receive, send: Send) -> None:
        heard, asked = _Heard(send), Asked()
        try:
            await self._app({**scope, ASKED: asked}, receive, heard)
        finally:
            with anyio.CancelScope(shield=True):
                answer = heard.answer(self._clock.now_ns(), tuple(dict.fromkeys(asked)))
                try:
                    if answer is None:
                        await self._database.write(lambda db: idempotency.forget(db, slot, process=self._process))
                    else:
                        await self._database.write(lambda db: idempotency.keep(db, slot, answer, process=self._process))
                finally:
                    self._going.pop((slot.project, slot.principal, slot.key)).set()
                    await heard.release()


class IdempotencyPurge:
    """Drops answers that are older than a day, for `Schedules.also`."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def look(self) -> Sequence[str]:
        """Purge now; starts nothing."""
        now_ns = self._clock.now_ns()
        await self._database.write(lambda db: idempotency.purge(db, now_ns=now_ns))
        return ()


class _Heard:
    """`send` that keeps a copy of an answer, and holds its end back until the answer is kept."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = bytearray()
        self._is_whole = False
        self._held: list[Message] = []
        self._streams = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        elif message["type"] == "http.response.body":
            self._is_whole = not message.get("more_body", False)
            self._streams = self._streams or not self._is_whole
            if not self._streams:
                self._body += message.get("body", b"")
        if self._streams:
            await self.release()
            await self._send(message)
        else:
            self._held.append(message)

    async def release(self) -> None:
        """Send what was held back."""
        held, self._held = self._held, []
        for message in held:
            await self._send(message)

    def answer(self, now_ns: int, asked: tuple[tuple[str, str], ...]) -> Answer | None:
        """What is to be kept; None when nothing was done, or it streamed."""
        if self._start is None or self._streams or not self._is_whole or not 200 <= self._start["status"] < 300:
            return None
        headers: dict[bytes, bytes] = dict(self._start.get("headers", ()))
        hidden = headers.get(b"cache-control") == b"no-store" or _SECRET.search(self._body) is not None
        return Answer(
            status=self._start["status"],
            content_type=headers.get(b"content-type", b"").decode("latin-1"),
            location=headers.get(b"location", b"").decode("latin-1"),
            etag=headers.get(b"etag", b"").decode("latin-1"),
            body=None if hidden or len(self._body) > _LARGEST else bytes(self._body),
            created_ns=now_ns,
            asked=asked,
        )


def _slot(scope: Scope, keys: list[bytes], body: bytes) -> Slot:
    key = keys[0].decode("latin-1").strip()
    key = key[1:-1] if len(key) > 2 and key[0] == key[-1] == '"' else key  # the draft writes it as a quoted string
    if len(keys) > 1 or _FORM.fullmatch(key) is None:
        raise Invalid(
            "Idempotency-Key is not 1 to 255 visible ASCII characters, sent once",
            where="header.idempotency-key",
            hint="Send a random one for each new request, as a UUID.",
        )
    principal = scope["tidemill.principal"]
    assert isinstance(principal, Principal)
    project = _PROJECT.match(scope["path"])
    asked = b"\0".join([
        scope["method"].encode(), scope["path"].encode("utf-8", "surrogatepass"), scope["query_string"], body,
    ])  # fmt: skip
    return Slot(
        project=project.group(1) if project else "",
        principal=f"{principal.who} {principal.key_id}",
        key=key,
        fingerprint=hashlib.sha256(asked).hexdigest(),
    )


async def _body(receive: Receive) -> bytes:
    whole = bytearray()
    while True:
        message = await receive()
        whole += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(whole)
