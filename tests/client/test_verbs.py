"""The SDK's main verbs, the same over a server and over the application in this process; and a lost answer changes nothing."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from e2e.processes import Server, served
from tidemill import AsyncClient, Client
from tidemill.core.errors import Denied, NotFound, PreconditionFailed
from tidemill.core.settings import load_settings

SPECS = """
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
---
kind: policy
name: production
protects: ["chain/*@production"]
require: ['gate("gate/release").result == "passed"']
"""


def project(folder: Path) -> Path:
    (folder / "tidemill").mkdir(parents=True)
    (folder / "tidemill" / "a.yaml").write_text(SPECS, "utf-8")
    (folder / "tidemill.toml").touch()
    return folder


@pytest.fixture(scope="module", params=["server", "in-process"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = project(tmp_path_factory.mktemp(request.param) / "project")
    settings = load_settings(folder, {})
    if request.param == "in-process":
        with Client(settings=settings) as opened:
            assert opened.in_process
            yield opened
        return
    with served(folder), Client(settings=settings) as opened:
        assert not opened.in_process
        yield opened


def test_the_way_of_a_release(client: Client) -> None:
    assert len(client.plan()["changes"]) == 6
    assert len(client.apply()["versions"]) == 6
    assert client.plan()["changes"] == []
    assert [each["ref"] for each in client.artifacts(kind="prompt")] == ["prompt/ask@v1"]
    assert {each["kind"] for each in client.iter_artifacts()} == {"model", "prompt", "chain", "dataset", "gate", "policy"}
    release = client.make_release("chain/help")["digest"]
    run = client.run("chain/help", {"question": "hello"})
    assert (run["output"], run["release"]) == ("hello", release)
    with pytest.raises(Denied, match="gate/release") as refused:
        client.promote("chain/help", to="production")
    assert "tidemill eval" in str([each.hint for each in refused.value.problems])
    evaluation = client.evaluate("chain/help", data="dataset/questions", scorers=["exact_match"])
    assert (evaluation["samples"], evaluation["metrics"]["exact_match"]["mean"]) == (5, 1.0)
    assert client.check_gate("gate/release", evaluation["id"])["result"] == "passed"
    done = client.promote("chain/help", to="production")
    assert done["release"] == release
    assert client.artifact("chain/help@production")["ref"] == "chain/help@v1"
    served_now = client.deploy(release, to="endpoint/help")
    assert served_now["release"] == release
    assert [each["name"] for each in client.endpoints()] == ["help"]
    assert [each["id"] for each in client.iter_evaluations()] == [evaluation["id"]]


def test_a_stream_comes_in_pieces_and_can_be_left(client: Client) -> None:
    client.apply()
    events = list(client.stream_run("chain/help", {"question": "a b"}))
    assert [each.name for each in events][-1] == "result"
    assert json.loads(events[-1].data)["output"] == "a b"
    for each in client.stream_run("chain/help", {"question": "a b"}):
        assert each.name == "delta"
        break
    job = client.start_evaluation("chain/help", data="dataset/questions")[1]
    assert [each["status"] for each in client.follow(job)][-1] == "done"


def test_what_changed_meanwhile_is_not_overwritten(client: Client) -> None:
    client.apply()
    client.deploy("chain/help", to="endpoint/careful")
    etag = client.endpoint("endpoint/careful").get("etag")
    assert etag
    client.deploy("model/echo", to="endpoint/careful")
    with pytest.raises(PreconditionFailed):
        client.deploy("chain/help", to="endpoint/careful", if_match=etag)
    assert client.rollback("endpoint/careful")["release"] == client.make_release("chain/help")["digest"]


def test_errors_are_the_same(client: Client) -> None:
    client.apply()
    with pytest.raises(NotFound, match="there is no chain/hlp") as missing:
        client.run("chain/hlp", {})
    assert "chain/help" in missing.value.hint
    with pytest.raises(NotFound, match="there is no environment 'prod'"):
        client.run("chain/help", {"question": "?"}, environment="prod")


def test_several_calls_at_once(client: Client) -> None:
    client.apply()

    async def both(opened: AsyncClient) -> list[str]:
        import anyio

        found: list[str] = []

        async def ask(question: str) -> None:
            found.append(str((await opened.run("chain/help", {"question": question}))["output"]))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "one")
            tasks.start_soon(ask, "two")
        return sorted(found)

    assert client.call(both) == ["one", "two"]


@contextmanager
def losing_answers(url: str, *, lose: int) -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that hands requests on and loses the first answers, as a network does; and the first line of each request."""
    address = urlsplit(url)
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def one(connection: socket.socket) -> None:
        with connection, socket.create_connection((address.hostname, address.port)) as upstream:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            length = next(
                (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
            )
            while len(head.partition(b"\r\n\r\n")[2]) < length:
                head += connection.recv(65536)
            upstream.sendall(head.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
            answer = b""
            while piece := upstream.recv(65536):
                answer += piece
            asked.append(head.partition(b"\r\n")[0])
            if len(asked) > lose:
                connection.sendall(answer)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            one(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_write_whose_answer_was_lost_happens_once(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    settings = load_settings(folder, {})
    with served(folder) as server:
        assert isinstance(server, Server)
        with Client(settings=settings) as client:
            client.apply()
        with losing_answers(server.url, lose=2) as (url, asked), Client(url=url, settings=settings) as client:
            run = client.run("chain/help", {"question": "once"})
            assert [each.split()[0] for each in asked] == [b"POST"] * 3
        with Client(settings=settings) as client:
            assert [each["id"] for each in client.traces()] == [run["id"]]
