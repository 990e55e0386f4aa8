"""The client against a small real server: what it sends, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tidemill.client import AsyncClient, Client
from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Conflict, Denied, Invalid, NotFound, Unavailable

BASE = "/api/v1/projects/default"


class Server:
    """Keeps blobs, answers plans with what it was sent, and has one job that was dropped midway."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.files: dict[str, object] = {}
        self.authorization = ""
        self.followed = 0
        self.app = Starlette(
            routes=[
                Route(f"{BASE}/blobs:missing", self.missing, methods=["POST"]),
                Route(f"{BASE}/blobs/{{digest}}", self.put, methods=["PUT"]),
                Route(f"{BASE}/plan", self.plan, methods=["POST"]),
                Route(f"{BASE}/artifacts", self.artifacts),
                Route(f"{BASE}/artifacts/prompt/gone", self.gone),
                Route(f"{BASE}/jobs/{{id}}/events", self.events),
                Route(f"{BASE}/jobs/{{id}}", self.job),
                Route(f"{BASE}/runs", self.runs, methods=["POST"]),
                Route(f"{BASE}/keys", lambda _: PlainTextResponse("<html>proxy</html>", 502)),
                Route(f"{BASE}/endpoints", lambda _: JSONResponse({"code": "denied", "detail": "not yours"}, 403)),
            ]
        )

    async def missing(self, request: Request) -> Response:
        self.authorization = request.headers.get("authorization", "")
        wanted = (await request.json())["digests"]
        return JSONResponse({"missing": [each for each in wanted if each not in self.blobs]})

    async def put(self, request: Request) -> Response:
        self.blobs[request.path_params["digest"]] = await request.body()
        return Response(status_code=204)

    async def plan(self, request: Request) -> Response:
        self.files = (await request.json())["files"]
        return JSONResponse({"changes": []})

    async def artifacts(self, request: Request) -> Response:
        start = int(request.query_params.get("cursor", 0))
        limit = int(request.query_params.get("limit", 2))
        following = start + min(limit, 2)
        return JSONResponse(
            {
                "items": [{"name": str(each)} for each in range(start, following)],
                "next": str(following) if following < 6 else None,
            }
        )

    async def gone(self, _: Request) -> Response:
        problem = {"code": "not_found", "detail": "there is no prompt/gone", "hint": "Did you mean prompt/one?"}
        return JSONResponse(problem, 404, media_type="application/problem+json")

    async def events(self, _: Request) -> Response:
        self.followed += 1
        last = b'{"id":"j","status":"done","result":7}' if self.followed > 1 else b'{"id":"j","status":"running"}'
        return StreamingResponse(iter([b"event: job\ndata: " + last + b"\n\n"]), media_type="text/event-stream")

    async def job(self, request: Request) -> Response:
        ended = {"failed": {"status": "failed", "error": "no room", "kind": "evaluation"}, "cancelled": {"status": "cancelled"}}
        return JSONResponse({"id": request.path_params["id"], **ended.get(request.path_params["id"], {"status": "running"})})

    async def runs(self, _: Request) -> Response:
        pieces = [
            b'event: delta\ndata: {"text":"He"}\n\n',
            b'event: error\ndata: {"code":"unavailable","detail":"the model left"}\n\n',
        ]
        return StreamingResponse(iter(pieces), media_type="text/event-stream")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server, serve: Callable[[object], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tidemill").mkdir()
    (tmp_path / "tidemill/a.yaml").write_text("kind: dataset\nname: d\npath: rows.csv\n")
    (tmp_path / "rows.csv").write_text("id\n1\n")
    return Client(url=serve(server.app), token="t")


def test_only_what_is_missing_is_uploaded(client: Client, server: Server) -> None:
    with client:
        client.plan()
        digest = digest_bytes(b"id\n1\n")
        assert server.blobs == {digest: b"id\n1\n"}
        assert server.files == {"tidemill/a.yaml": "kind: dataset\nname: d\npath: rows.csv\n", "rows.csv": {"blob": digest}}
        server.blobs[digest] = b"kept"
        client.plan()
        assert server.blobs[digest] == b"kept"
    assert server.authorization == "Bearer t"


def test_lists_follow_the_cursor_up_to_the_limit(client: Client) -> None:
    with client:
        assert [each.get("name") for each in client.artifacts()] == list("012345")
        assert [each.get("name") for each in client.artifacts(limit=3)] == list("012")


def test_problems_come_back_as_the_errors_that_they_were(client: Client) -> None:
    with client:
        with pytest.raises(NotFound, match="there is no prompt/gone") as caught:
            client.artifact("prompt/gone")
        assert caught.value.hint == "Did you mean prompt/one?"
        with pytest.raises(Denied, match="not yours"):
            client.endpoints()
        with pytest.raises(Unavailable, match="502 and no problem document: '<html>proxy</html>'"):
            client.keys()
        with pytest.raises(Invalid, match="is not a reference"):
            client.artifact("Prompt")


def test_a_job_is_followed_through_a_stream_that_ends_early(client: Client, server: Server) -> None:
    with client:
        assert client.finish("j").get("result") == 7
        assert server.followed == 2


@pytest.mark.parametrize(
    ("job", "error", "says"), [("failed", Unavailable, "no room"), ("cancelled", Conflict, "was cancelled")]
)
def test_a_job_that_did_not_end_well_raises(
    client: Client, server: Server, job: str, error: type[Exception], says: str
) -> None:
    with client, pytest.raises(error, match=says):
        client.finish(job)


def test_a_server_that_is_gone_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Client(url="http://127.0.0.1:1") as client, pytest.raises(Unavailable, match="does not answer") as caught:
        client.keys()
    assert caught.value.where == "http://127.0.0.1:1"


def test_a_closed_client_says_how_to_open_it(client: Client) -> None:
    with pytest.raises(Invalid, match="is not open"):
        client.keys()


@pytest.mark.anyio
async def test_an_error_event_ends_a_stream_as_that_error(client: Client) -> None:
    async with AsyncClient(settings=client.settings) as opened:
        events = opened.stream_run("chain/x", {})
        assert (await anext(events)).data == '{"text":"He"}'
        with pytest.raises(Unavailable, match="the model left"):
            await anext(events)
