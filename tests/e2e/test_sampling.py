"""A project's sampling, from its document to what is kept."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess

import pytest

from e2e.processes import TIDEMILL, Server, environment, served
from telemetry.otlp_requests import export, span

RULES = """
kind: telemetry
name: default
sampling: {tail: {share: 0.2, errors: true, wait: 1s}}
"""


@pytest.fixture
def own(folder):
    server = Server(folder)
    yield server
    server.stop()


def test_failed_traces_are_kept_and_a_share_of_the_rest(own: Server) -> None:
    own.shell.write(rules=RULES)
    own.shell.json("apply", "--yes")
    traces = range(1 << 80, (1 << 80) + 200)
    spans = [
        span(1, trace=trace, status={"code": 2 if trace % 20 == 0 else 1}) for trace in traces
    ]  # fmt: skip
    answer = own.http.post(
        "/v1/traces", content=export(*spans).SerializeToString(), headers={"content-type": "application/x-protobuf"}
    )
    assert answer.status_code == 200
    failed = {f"{trace:032x}" for trace in traces if trace % 20 == 0}
    first = traces[1]
    said = own.http.post(f"{own.api}/feedback", json={"trace": f"{first:032x}", "kind": "thumbs", "value": "up"})
    assert said.status_code == 201, said.text  # it waited no longer than that
    own.kill()  # whatever waits is decided by the next server
    with served(own.folder) as again:
        while not failed <= (kept := listed(again)):
            pass
        assert f"{first:032x}" in kept
        assert len(kept) < 120


def listed(server: Server) -> set[str]:
    return {each["id"] for each in server.get("/traces", limit=500, **{"from": "2026-01-01T00:00:00Z"})["items"]}


def test_a_grpc_port_that_is_taken_and_was_not_asked_for(folder) -> None:
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # somebody has it already, which is as good
            taken.bind(("127.0.0.1", 4317))
            taken.listen()
        command = (TIDEMILL, "up", "--port", "0", "--no-open", "--json", "--data", str(folder / "data"))
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        process.terminate()
        _, said = process.communicate(timeout=60)
        assert ready["otlp_grpc"] is None
        assert said.decode().count("\n") == 1
        assert "4317" in said.decode()
