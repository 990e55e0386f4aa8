"""The synchronous client is the asynchronous one without `await`: complete, current, typed, and quick to leave."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tidemill.client import AsyncClient, Client
from tidemill.core.errors import Invalid

ROOT = Path(__file__).resolve().parents[2]
BASE = "/api/v1/projects/default"
PUBLIC = sorted(
    name
    for name, each in inspect.getmembers(AsyncClient)
    if not name.startswith("_") and (inspect.isfunction(each) or isinstance(each, property))
)


def test_it_is_up_to_date() -> None:
    ended = subprocess.run(
        (sys.executable, "scripts/sync_client.py", "--check"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("name", PUBLIC)
def test_each_method_has_its_twin(name: str) -> None:
    theirs, ours = getattr(AsyncClient, name), getattr(Client, name)
    assert inspect.getdoc(ours) == inspect.getdoc(theirs)
    if isinstance(theirs, property):
        return
    wanted, found = inspect.signature(theirs), inspect.signature(ours)
    assert list(found.parameters.values()) == list(wanted.parameters.values())
    assert str(found.return_annotation).replace("Iterator[", "AsyncIterator[") == str(wanted.return_annotation).replace(
        "AsyncAsync", "Async"
    )


def test_no_file_is_too_long() -> None:
    for path in (ROOT / "src" / "tidemill" / "client").rglob("*.py"):
        text = path.read_text("utf-8")
        assert text.count("\n") <= 400, path.name
        ast.parse(text)


class Pages:
    """A list of 3 pages, and how many of them were asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.app = Starlette(
            routes=[
                Route(f"{BASE}/artifacts", self.artifacts),
                Route(f"{BASE}/endpoints/live", self.endpoint),
                Route(f"{BASE}/endpoints/live:deploy", self.deploy, methods=["POST"]),
            ]
        )

    async def artifacts(self, request: Request) -> Response:
        self.asked += 1
        start = int(request.query_params.get("cursor", 0))
        following = str(start + 2) if start < 4 else None
        return JSONResponse({"items": [{"name": str(start)}, {"name": str(start + 1)}], "next": following})

    async def endpoint(self, _: Request) -> Response:
        return JSONResponse({"name": "live"}, headers={"etag": '"one"'})

    async def deploy(self, request: Request) -> Response:
        return JSONResponse({"name": "live", "release": request.headers.get("if-match", "none")})


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def client(pages: Pages, serve: Callable[[object], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.chdir(tmp_path)
    with Client(url=serve(pages.app), token="t") as opened:
        yield opened


def test_a_page_is_asked_for_when_it_is_needed(client: Client, pages: Pages) -> None:
    found = client.iter_artifacts()
    assert [next(found).get("name") for _ in range(2)] == ["0", "1"]
    assert pages.asked == 1
    assert [each.get("name") for each in found] == ["2", "3", "4", "5"]
    assert pages.asked == 3


def test_an_iterator_that_is_left_early_stops(client: Client, pages: Pages) -> None:
    for each in client.iter_artifacts():
        if each.get("name") == "2":
            break
    assert [each.get("name") for each in client.artifacts(limit=1)] == ["0"]  # the loop is free for the next call
    found = client.iter_artifacts()
    next(found)
    with pytest.raises(RuntimeError, match="mine"):
        found.throw(RuntimeError("mine"))  # pyright: ignore[reportAttributeAccessIssue]  (every one is a generator)
    assert pages.asked <= 5


def test_what_was_looked_at_is_what_is_changed(client: Client) -> None:
    etag = client.endpoint("live").get("etag")
    assert etag == '"one"'
    assert client.deploy("chain/x", to="endpoint/live", if_match=etag).get("release") == etag
    assert client.deploy("chain/x", to="endpoint/live").get("release") == "none"


def test_a_client_that_is_not_open_says_so() -> None:
    for work in (Client().endpoints, lambda: next(Client().iter_artifacts())):
        with pytest.raises(Invalid, match="not open"):
            work()
