"""A whole server behind a real socket, in a thread of the test's process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from api.described import check
from tidemill.api.listen import bind
from tidemill.app import open_app
from tidemill.core.limits import Limits
from tidemill.core.settings import Settings

FILES = {
    "a.yaml": """
kind: model
name: said
provider: test
reply: "the moon"
---
kind: prompt
name: ask
messages: [{role: user, content: "Question: {{question}}"}]
---
kind: chain
name: tide
inputs: {question: string}
steps: [{id: answer, prompt: prompt/ask, model: model/said, with: {question: "{{question}}"}}]
output: "{{answer.text}}"
---
kind: dataset
name: questions
rows: [{question: a, answer: the moon}, {question: b, answer: the sun}, {question: c, answer: the moon}]
roles: {input: question, reference: answer}
---
{kind: gate, name: good, checks: [{metric: exact_match, min: 0.2}]}
"""
}


class Answered(AssertionError):
    """Another status than was expected."""


class Project:
    """One project of the server, by its routes."""

    def __init__(self, house: House, name: str) -> None:
        self.house = house
        self.name = name
        self.base = f"/api/v1/projects/{name}"

    def raw(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.house.http.request(method, self.base + path, **options)

    def __call__(self, method: str, path: str, *, status: int = 0, **options: Any) -> Any:
        """The answer's JSON; any 2xx, or `status`."""
        answer = self.raw(method, path, **options)
        fits = answer.status_code == status if status else answer.is_success
        if not fits:
            raise Answered(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if "json" in answer.headers.get("content-type", "") and answer.content else None

    def get(self, path: str, **options: Any) -> Any:
        return self("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return self("POST", path, json=body, **options)

    def apply(self, **files: str) -> Any:
        return self.post("/apply", {"files": {f"tidemill/{name}.yaml": text for name, text in files.items()} or FILES})

    def finish(self, job: str) -> Any:
        """The job once it has ended, by its events."""
        import json

        last: Any = None
        with self.house.http.stream("GET", f"{self.base}/jobs/{job}/events") as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    last = json.loads(line[6:])
        assert last is not None
        assert last["status"] == "done", last
        return last


class House:
    def __init__(self, url: str, token: str, data: Path) -> None:
        self.url = url
        self.token = token
        self.data = data
        self.http = self.client(token)
        self._made = 0

    def client(self, token: str | None, **headers: str) -> httpx.Client:
        own = {"authorization": f"Bearer {token}"} if token else {}
        hooks = {"response": [_described]}
        return httpx.Client(base_url=self.url, headers={**own, **headers}, timeout=60, trust_env=False, event_hooks=hooks)

    def project(self) -> Project:
        """A new one."""
        self._made += 1
        return Project(self, f"p{self._made}")

    def socket(self) -> socket.socket:
        """A bare connection."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return socket.create_connection((host, int(port)), timeout=20)


def _described(response: httpx.Response) -> None:
    """Every answer of every test is held to the document."""
    if "text/event-stream" not in response.headers.get("content-type", ""):
        response.read()
        check(response)


@contextmanager
def open_house(root: Path, limits: Limits | None = None) -> Iterator[House]:
    import asyncio

    data = root / ".tidemill"
    listener = bind("127.0.0.1", 0)
    started, servers, failed = threading.Event(), list[uvicorn.Server](), list[BaseException]()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

        def install_signal_handlers(self) -> None: ...

    async def run() -> None:
        settings = Settings(root=root, data=data, limits=limits or Limits())
        async with open_app(settings) as app:
            config = uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False)
            server = Server(config)
            servers.append(server)
            await server.serve(sockets=[listener])

    def thread() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001  (told to the test below)
            failed.append(error)
            started.set()

    running = threading.Thread(target=thread, name="server")
    running.start()
    try:
        started.wait(60)
        if failed:
            raise failed[0]
        house = House(f"http://127.0.0.1:{listener.getsockname()[1]}", (data / "token").read_text("ascii").strip(), data)
        with house.http:
            yield house
    finally:
        for server in servers:
            server.should_exit = True
        running.join(60)
        listener.close()
    if failed:
        raise failed[0]
