"""The whole application in this process, a project of its own for each test, and people with keys."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from places import database_place, database_url
from tidemill.app import open_app
from tidemill.client.transport import AppTransport
from tidemill.core.clock import SystemClock
from tidemill.core.extend import Door as Door_
from tidemill.core.settings import Settings
from tidemill.govern.policy import Policies, PolicyDecision
from tidemill.store.database import Database

_SECONDS = 60
APP = """
kind: model
name: echo
provider: test
params: {reply: "{{input}}"}
---
kind: prompt
name: ask
text: "{{question}}"
---
kind: chain
name: help
inputs: {question: string}
steps:
  - {id: answer, prompt: prompt/ask, model: model/echo, with: {question: "{{question}}"}}
output: "{{answer.text}}"
---
kind: dataset
name: questions
rows: [{q: a, a: a}, {q: b, a: b}, {q: c, a: c}, {q: d, a: d}, {q: e, a: e}]
roles: {input: q, reference: a}
---
kind: gate
name: release
checks: [{metric: exact_match, min: 0.3}]
"""
POLICY = """
kind: policy
name: production
protects: [endpoint/support, "chain/*@production"]
require:
  - gate("gate/release").result == "passed"
  - approvals.exists(a, a.role == "reviewer")
"""


@dataclass(frozen=True)
class Door:
    """Somebody's way in: requests below their project."""

    portal: BlockingPortal
    app: Any
    project: str
    token: str

    def ask(self, method: str, path: str, body: Any = None, **params: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            headers = {"authorization": f"Bearer {self.token}"}
            async with httpx.AsyncClient(
                transport=AppTransport(self.app), base_url="http://127.0.0.1", headers=headers
            ) as http:
                return await http.request(method, f"/api/v1/projects/{self.project}{path}", json=body, params=params or None)

        return self.portal.call(send)

    def send_raw(self, method: str, path: str, content: bytes) -> httpx.Response:
        async def send() -> httpx.Response:
            headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
            async with httpx.AsyncClient(
                transport=AppTransport(self.app), base_url="http://127.0.0.1", headers=headers
            ) as http:
                return await http.request(method, f"/api/v1/projects/{self.project}{path}", content=content)

        return self.portal.call(send)

    def get(self, path: str, **params: Any) -> Any:
        return self._good(self.ask("GET", path, **params))

    def post(self, path: str, body: Any = None) -> Any:
        return self._good(self.ask("POST", path, body))

    def put(self, path: str, body: Any = None) -> Any:
        return self._good(self.ask("PUT", path, body))

    def delete(self, path: str) -> Any:
        return self._good(self.ask("DELETE", path))

    def refused(self, method: str, path: str, body: Any = None, *, status: int = 403) -> Any:
        answer = self.ask(method, path, body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def apply(self, *texts: str) -> Any:
        return self.post("/apply", {"files": {f"tidemill/{n}.yaml": text for n, text in enumerate(texts)}})

    def _good(self, answer: httpx.Response) -> Any:
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


@dataclass
class House:
    portal: BlockingPortal
    app: Any
    data: Path
    token: str
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def decide(self, project: str, door: Door_, target: str, *, who: str, role: str | None) -> PolicyDecision:
        """What the policies say of a release that nobody knows, as a part of the application asks."""
        database, policies = Database.open(database_place(self.data)), Policies(clock=SystemClock())
        try:
            return database.read_sync(
                lambda db: policies.decide(
                    db, project, door=door, target=target, release="sha256:" + "0" * 64, who=who, role=role
                )
            )
        finally:
            database.close()

    def project(self) -> Project:
        return Project(self, f"p{next(self.numbers)}")


@dataclass
class Project:
    """A project with its admin and its people."""

    house: House
    name: str
    release: str = ""

    @property
    def admin(self) -> Door:
        return Door(self.house.portal, self.house.app, self.name, self.house.token)

    def person(self, name: str | None, role: str) -> Door:
        made = self.admin.post("/keys", {"role": role, "person": name})
        return Door(self.house.portal, self.house.app, self.name, made["key"])

    def with_key(self, key: str) -> Door:
        return Door(self.house.portal, self.house.app, self.name, key)

    def chat(self, who: Door, body: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = AppTransport(self.house.app)
            headers = {"authorization": f"Bearer {who.token}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as http:
                return await http.post("/v1/chat/completions", json=body)

        return self.house.portal.call(send)

    def evaluate(self, who: Door, app: str = "chain/help") -> Any:
        started = who.post("/evaluations", {"app": app, "data": "dataset/questions", "scorers": ["exact_match"]})

        assert self.finish(f"/jobs/{started['job']}")["status"] == "done"
        return who.get(f"/evaluations/{started['evaluation']}")

    def finish(self, path: str) -> Any:
        """What the route tells once the work has ended."""

        async def ended() -> Any:
            headers = {"authorization": f"Bearer {self.house.token}"}
            transport = AppTransport(self.house.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as http:
                with anyio.fail_after(_SECONDS):
                    while True:
                        found = (await http.get(f"/api/v1/projects/{self.name}{path}")).json()
                        if found["status"] in {"done", "failed", "cancelled"}:
                            return found
                        await anyio.lowlevel.checkpoint()

        return self.house.portal.call(ended)

    def gate(self, who: Door, evaluation: str) -> Any:
        return who.post("/gates/release:check", {"evaluation": evaluation})

    def audit(self, action: str) -> list[Any]:
        """Oldest first."""
        return list(reversed(self.admin.get("/audit", action=action)["items"]))


@contextmanager
def _no_settings_around() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith("TIDEMILL_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for a file: a process runs the jobs of one data folder at a time."""
    root = tmp_path_factory.mktemp("house")
    data = root / ".tidemill"
    with (
        _no_settings_around(),
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_app(Settings(root=root, data=data, database=database_url(data)))) as app,
    ):
        yield House(portal, app, data, (data / "token").read_text("ascii").strip())


@pytest.fixture
def project(house: House) -> Project:
    return house.project()


@pytest.fixture
def ready(project: Project) -> Project:
    """`chain/help` of dev, a policy over `endpoint/support` and `chain/*@production`, and a release that was evaluated."""
    dev = project.person("dev", "developer")
    dev.apply(APP, POLICY)
    return project
