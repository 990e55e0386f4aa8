"""A server begins, guards its doors, drains, and leaves; two cannot have one folder or one port."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import stat
import threading

import httpx
import pytest

from e2e.processes import Server, Shell, served
from e2e.specs import SLOW

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module", autouse=True)
def deployed(server: Server) -> None:
    server.shell.write(app=SLOW + '---\nkind: model\nname: quick\nprovider: test\nreply: "yes"\n')
    server.shell.json("apply")
    for name in ("open", "other"):
        server.post(f"/endpoints/{name}:deploy", {"app": "model/quick"})


def ask(server: Server, model: str, headers: dict[str, str], **body) -> httpx.Response:
    request = {"model": model, "messages": [{"role": "user", "content": "?"}], **body}
    return httpx.post(server.url + CHAT, json=request, headers=headers, trust_env=False)


def test_the_ready_line_says_where_and_who(server: Server) -> None:
    assert server.ready["event"] == "ready"
    assert server.url.startswith("http://127.0.0.1:")
    assert not server.url.endswith(":0")
    assert server.ready["pid"] == server.process.pid
    assert server.ready["token_file"] == str(server.data / "token")
    assert server.ready["version"]


def test_the_token_file_is_the_owners_alone(server: Server) -> None:
    assert stat.S_IMODE((server.data / "token").stat().st_mode) == 0o600
    assert json.loads((server.data / "server.json").read_text()) == {"pid": server.process.pid, "url": server.url}


def test_the_data_folder_has_what_is_promised(server: Server) -> None:
    server.http.get("/readyz")
    assert {"token", "server.json", "meta.db", "spool"} <= {each.name for each in server.data.iterdir()}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_needs_no_token(server: Server, path: str) -> None:
    assert httpx.get(server.url + path, trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/projects/default/artifacts"),
        ("POST", "/api/v1/projects/default/apply"),
        ("GET", "/api/v1/projects/default/nothing"),
        ("GET", "/openapi.json"),
        ("GET", "/nothing"),
        ("GET", "/v1/models"),
        ("POST", CHAT),
    ],
)
def test_everything_else_does(server: Server, method: str, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer tm_wrong_wrong"}, {"authorization": "Basic x"}, {"x-api-key": "wrong"}):
        answer = httpx.request(method, server.url + path, headers=headers, trust_env=False)
        assert answer.status_code == 401, (headers, answer.text)
        assert server.token not in answer.text
    wanted = "application/json" if path.startswith("/v1/") else "application/problem+json"
    assert answer.headers["content-type"].startswith(wanted)


def test_the_token_goes_in_either_header(server: Server) -> None:
    for headers in ({"authorization": f"Bearer {server.token}"}, {"x-api-key": server.token}):
        assert httpx.get(f"{server.url}{server.api}/artifacts", headers=headers, trust_env=False).status_code == 200
        assert ask(server, "endpoint/open", headers).status_code == 200


def test_openapi_describes_the_control_plane(server: Server) -> None:
    described = server.http.get("/openapi.json").json()
    wanted = {
        "/plan",
        "/apply",
        "/releases",
        "/runs",
        "/evaluations",
        "/comparisons",
        "/gates/{name}:check",
        "/traces",
        "/keys",
    }
    assert wanted <= {path.removeprefix("/api/v1/projects/{project}") for path in described["paths"]}


def test_a_key_reaches_its_endpoint_only(server: Server, shell: Shell) -> None:
    made = shell.json("keys", "create", "--endpoint", "endpoint/open")
    assert made["key"].startswith(f"tm_{made['id']}_")
    mine = {"authorization": f"Bearer {made['key']}"}
    assert ask(server, "endpoint/open", mine).status_code == 200
    assert ask(server, "open", mine).status_code == 200
    for model in ("endpoint/other", "model/quick"):
        assert ask(server, model, mine).status_code == 403
    seen = httpx.get(f"{server.url}/v1/models", headers=mine, trust_env=False).json()
    assert [each["id"] for each in seen["data"]] == ["endpoint/open"]
    assert httpx.get(f"{server.url}{server.api}/artifacts", headers=mine, trust_env=False).status_code == 403
    elsewhere = mine | {"x-tidemill-project": "other"}
    assert ask(server, "endpoint/open", elsewhere).status_code == 404
    listed = shell("keys", "list", "--json").out
    assert made["id"] in listed
    assert made["key"] not in listed
    shell.json("keys", "revoke", made["id"])
    assert ask(server, "endpoint/open", mine).status_code == 401


def test_a_key_belongs_to_its_project(server: Server, shell: Shell) -> None:
    key = shell.json("keys", "create")["key"]
    shell("plan", TIDEMILL_TOKEN=key, TIDEMILL_URL=server.url, TIDEMILL_PROJECT="other").refused(
        3, "there is no project 'other'"
    )
    assert shell("get", TIDEMILL_TOKEN=key, TIDEMILL_URL=server.url).code == 0


def test_a_wrong_token_is_denied_in_one_line(server: Server, shell: Shell) -> None:
    shell("get", TIDEMILL_TOKEN="wrong", TIDEMILL_URL=server.url).refused(4)


@pytest.mark.parametrize("path", ["/openapi.json", "/v1/models", "/api/v1/projects/default/artifacts", "/login"])
def test_a_foreign_host_is_refused(server: Server, path: str) -> None:
    answer = server.http.get(path, headers={"host": "evil.example"})
    assert answer.status_code == 403
    assert "evil.example" in answer.text


def test_a_held_folder_names_the_holder(server: Server, shell: Shell) -> None:
    shell("up", "--port", "0", "--no-open").refused(6, str(server.process.pid), server.url)


def test_a_port_in_use_is_named(server: Server, folder) -> None:
    port = server.url.rpartition(":")[2]
    Shell(folder)("up", "--port", port, "--no-open").refused(6, port)


def test_a_folder_of_a_newer_version_is_left_alone(folder) -> None:
    shell = Shell(folder)
    shell("get")  # makes the folder
    before = (folder / ".tidemill" / "meta.db").read_bytes()
    (folder / ".tidemill" / "format").write_text("999\n")
    shell("up", "--port", "0", "--no-open").refused(6, "999", "newer")
    shell("plan").refused(6, "newer")
    assert before == (folder / ".tidemill" / "meta.db").read_bytes()
    (folder / ".tidemill" / "format").unlink()
    with contextlib.closing(sqlite3.connect(folder / ".tidemill" / "meta.db")) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
        db.commit()
    shell("up", "--port", "0", "--no-open").refused(6, "newer")


def test_an_address_that_nobody_serves(folder) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        Shell(folder)("get", TIDEMILL_URL=url).refused(5, url)


@pytest.mark.slow  # it may be busy: it is given ten seconds
def test_a_held_folder_whose_server_does_not_answer(folder) -> None:
    with served(folder) as server:
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            server.shell("get").refused(5, server.url)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)


def accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as trial:
        return trial.connect_ex((host, int(port))) == 0


def test_sigterm_drains_what_is_in_flight(folder) -> None:
    with served(folder) as server:
        server.shell.write(app=SLOW)
        server.shell.json("apply")
        body = {"model": "model/slow", "stream": True, "messages": [{"role": "user", "content": "?"}]}
        with server.http.stream("POST", CHAT, json=body) as answer:
            assert answer.status_code == 200
            lines = answer.iter_lines()
            first = next(line for line in lines if "one" in line)
            ended = threading.Thread(target=server.process.wait)
            server.process.send_signal(signal.SIGTERM)
            ended.start()
            while accepts(server.ready["otlp_grpc"]):
                """gRPC takes no more either, while HTTP still drains."""
            assert server.process.poll() is None
            rest = [first, *(line for line in lines if line.startswith("data: "))]
        ended.join(60)
        assert server.process.returncode == 0
        assert rest[-1] == "data: [DONE]"
        text = "".join(
            json.loads(line[6:])["choices"][0]["delta"].get("content") or "" for line in rest[:-1] if '"delta"' in line
        )
        assert text.startswith("one two")
        assert text.endswith("twelve")
        assert not (server.data / "server.json").exists()
