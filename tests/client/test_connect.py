"""Which way a command reaches the control plane."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from tidemill import app as composition
from tidemill.client import connect
from tidemill.client.locate import Target
from tidemill.core.errors import Conflict
from tidemill.core.settings import Settings

pytestmark = pytest.mark.anyio


def answering() -> Starlette:
    return Starlette(routes=[Route("/api/v1/projects/default/jobs", lambda _: JSONResponse({"items": []}))])


@asynccontextmanager
async def taken(_: Settings) -> AsyncGenerator[None]:
    raise Conflict("the data folder is held")
    yield


async def test_a_server_that_starts_in_the_same_instant_is_used(
    settings: Settings, serve: Callable[[object], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([Target(url=None, token=None), Target(url=serve(answering()), token="secret")])

    async def locate(_: Settings) -> Target:
        return next(found)

    monkeypatch.setattr(connect, "locate", locate)
    monkeypatch.setattr(composition, "open_app", taken)
    async with connect.open_line(settings) as line:
        assert not line.in_process
        assert await line.send("GET", "/jobs") == {"items": []}


async def test_a_folder_that_another_command_holds_is_a_conflict(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "open_app", taken)
    with pytest.raises(Conflict, match="held"):
        async with connect.open_line(settings):
            pass
