from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import orjson
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from tidemill.client import locate as locating
from tidemill.client.locate import locate
from tidemill.core.errors import Unavailable
from tidemill.core.settings import Settings

pytestmark = pytest.mark.anyio


@contextmanager
def held(settings: Settings) -> Iterator[None]:
    settings.data.mkdir(exist_ok=True)
    descriptor = os.open(settings.data / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def healthy() -> Starlette:
    return Starlette(routes=[Route("/healthz", lambda _: JSONResponse({}))])


async def test_nothing_runs_means_in_process(settings: Settings) -> None:
    assert (await locate(settings)).url is None


async def test_the_server_that_holds_the_folder_is_found_with_its_token(
    settings: Settings, serve: Callable[[object], str]
) -> None:
    url = serve(healthy())
    with held(settings):
        (settings.data / "server.json").write_bytes(orjson.dumps({"pid": 1, "url": url}))
        (settings.data / "token").write_text("secret\n")
        target = await locate(settings)
    assert (target.url, target.token) == (url, "secret")


async def test_what_a_killed_server_left_behind_is_ignored(settings: Settings) -> None:
    with held(settings):
        (settings.data / "server.json").write_bytes(b'{"pid": 1, "url": "http://127.0.0.1:1"}')
    assert (await locate(settings)).url is None


async def test_a_holder_that_does_not_answer_is_unavailable(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locating, "_BUSY", 0.2)
    with held(settings):
        (settings.data / "server.json").write_bytes(b'{"pid": 1, "url": "http://127.0.0.1:1"}')
        with pytest.raises(Unavailable, match="held") as caught:
            await locate(settings)
    assert "http://127.0.0.1:1" in caught.value.message


async def test_the_token_file_is_never_sent_to_another_machine(settings: Settings) -> None:
    settings.data.mkdir()
    (settings.data / "token").write_text("secret")
    assert (await locate(replace(settings, url="http://tidemill.example:8710"))).token is None
    assert (await locate(replace(settings, url="http://127.0.0.1:8710/"))).token == "secret"
    assert (await locate(replace(settings, url="http://x.example", token="mine"))).token == "mine"
