"""The whole application in this process under a clock that can be set, and whoever comes to it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tidemill.app import open_app
from tidemill.client.transport import AppTransport
from tidemill.core.clock import SystemClock
from tidemill.core.settings import Settings

HOST = "127.0.0.1"
APP = """
kind: model
name: echo
provider: test
reply: "{{input}}"
---
kind: prompt
name: ask
text: "{{question}}"
---
kind: chain
name: help
inputs: {question: string}
steps: [{id: answer, prompt: prompt/ask, model: model/echo, with: {question: "{{question}}"}}]
output: "{{answer.text}}"
---
kind: dataset
name: questions
rows: [{q: a, a: a}, {q: b, a: b}]
roles: {input: q, reference: a}
---
{kind: gate, name: release, checks: [{metric: exact_match, min: 0.3}]}
"""


class SetClock(SystemClock):
    """The machine's clock, set forward or back by so many seconds."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now_ns(self) -> int:
        return super().now_ns() + round(self.offset * 1e9)


@dataclass(frozen=True)
class Visitor:
    """Somebody's way in: a token, or a browser with a cookie."""

    house: House
    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.token is not None:
            sent["authorization"] = f"Bearer {self.token}"
        return self.house.send(method, path, body, sent)

    def __call__(self, method: str, path: str, body: Any = None, *, status: int = 0, **headers: str) -> Any:
        answer = self.ask(method, path, body, **headers)
        assert answer.status_code == status if status else answer.is_success, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content else None


@dataclass
class House:
    portal: BlockingPortal
    app: Any
    data: Path
    clock: SetClock
    http: httpx.AsyncClient

    @property
    def admin(self) -> Visitor:
        return Visitor(self, (self.data / "token").read_text("ascii").strip())

    def send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        async def sending() -> httpx.Response:
            try:
                return await self.http.request(method, path, json=body, headers=headers)
            finally:
                self.http.cookies.clear()  # each visitor sends their own

        return self.portal.call(sending)

    def key(self, project: str, **made: Any) -> Visitor:
        return Visitor(self, self.admin("POST", f"/api/v1/projects/{project}/keys", made)["key"])

    def browser(self, person: str | None = None) -> Visitor:
        """Somebody who logged in by a link."""
        link = self.admin("POST", "/api/v1/login-links", {"person": person})["path"]
        return self.follow(link)

    def follow(self, link: str, **headers: str) -> Visitor:
        answer = self.send("GET", link, None, headers)
        assert answer.status_code == 303, answer.text
        cookie = answer.headers["set-cookie"].split(";")[0]
        visitor = Visitor(self, headers={"cookie": cookie})
        csrf = visitor("GET", "/api/v1/session")["csrf"]
        return Visitor(self, headers={"cookie": cookie, "origin": f"http://{HOST}", "host": HOST, "x-tidemill-csrf": csrf})

    def fill(self, project: str) -> None:
        """`chain/help`, served at `endpoint/support`."""
        below = f"/api/v1/projects/{project}"
        self.admin("POST", f"{below}/apply", {"files": {"tidemill/app.yaml": APP}})
        self.admin("POST", f"{below}/endpoints/support:deploy", {"app": "chain/help"})

    def flush(self) -> None:
        """Write what is only noted so far."""
        entry = self.app._app._entry  # the front door, below what measures it
        self.portal.call(lambda: entry.flush(everything=True))

    def audit(self, project: str | None, action: str) -> list[Any]:
        """Oldest first; of what belongs to no project for None."""
        below = "/api/v1" if project is None else f"/api/v1/projects/{project}"
        return list(reversed(self.admin("GET", f"{below}/audit?action={action}&limit=1000")["items"]))


@asynccontextmanager
async def _open_http(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=AppTransport(app), base_url=f"http://{HOST}") as http:
        yield http


@contextmanager
def open_house(root: Path) -> Iterator[House]:
    clock, settings = SetClock(), Settings(root=root, data=root / ".tidemill")
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith("TIDEMILL_")]:
            patch.delenv(name)
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(open_app(settings, clock=clock)) as app,
            portal.wrap_async_context_manager(_open_http(app)) as http,
        ):
            yield House(portal, app, settings.data, clock, http)
