"""A sender that trickles its body holds no room for long."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tidemill.api.listen import bind
from tidemill.core.clock import SystemClock
from tidemill.serve.exchange import Exchange, Headers
from tidemill.serve.otlp import OtlpDoor
from tidemill.store.access import Principal
from tidemill.telemetry.intake import Intake
from tidemill.telemetry.store import Telemetry

pytestmark = pytest.mark.anyio
HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 1000\r\n\r\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _somebody(_headers: Headers) -> Principal:
    return Principal(project="p", is_admin=False, endpoints=None, key_id="k", role="admin")


async def _project(_headers: Headers, principal: Principal) -> str:
    return principal.project or ""


async def test_a_body_that_does_not_arrive_in_time_is_refused_and_its_room_is_free(tmp_path: Path) -> None:
    intake = Intake(Telemetry(tmp_path), clock=SystemClock())
    door = OtlpDoor(intake, authenticate=_somebody, authorize=_project, seconds=0.3)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await door.answer(Exchange(scope, receive, send))

    server = uvicorn.Server(uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_config=None))
    listener = bind("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(HEAD + b"x" * 10)
    async with asyncio.timeout(20):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive in" in answer
    assert intake.room.held == 0
    writer.close()
    server.should_exit = True
    await serving
