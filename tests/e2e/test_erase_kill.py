"""An erasure goes on after kill -9, and what it erased is in no door and in no byte of the data folder."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from e2e.processes import Server, served

WORD = "qzxforgetme"


def _send(server: Server, number: int, *, user: str, text: str) -> None:
    at = time.time_ns() - 60 * 10**9
    values = {"user.id": user, "input.value": text, "openinference.span.kind": "LLM"}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]
    span = {
        "traceId": f"{number:032x}", "spanId": f"{number:016x}", "name": "ask", "startTimeUnixNano": str(at),
        "endTimeUnixNano": str(at + 1000), "attributes": attributes,
    }  # fmt: skip
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    server.http.post(f"{server.url}/v1/traces", json=body).raise_for_status()


def _held(folder: Path) -> str:
    return subprocess.run(["grep", "-rlaF", WORD, folder / ".tidemill"], capture_output=True, text=True, check=False).stdout


@pytest.mark.slow
@pytest.mark.parametrize("done", [None, 4])
def test_an_erasure_survives_a_kill(folder: Path, done: int | None) -> None:
    """Killed as soon as it is answered, and when the traces are out of the store but not all of their files are gone."""
    server = Server(folder)
    for number in range(1, 8):
        text = f"{WORD} {number} " * (9000 if number == 5 else 1)
        _send(server, number, user="ada" if number % 2 else "bob", text=text if number % 2 else "x")
    job = server.post("/traces:erase", {"user": "ada", "why": "asked for by the person"})["job"]
    if done is not None:
        server.wait_for_job(job, done=done)
    server.kill()
    with served(folder) as again:
        ended = again.wait_for_job(job)
        assert ended["status"] == "done", ended["error"]
        assert {each["user"] for each in again.get("/traces")["items"]} == {"bob"}
        assert again.post("/spans:search", {"text": WORD})["items"] == []
        assert _held(folder) == ""
        said = again.shell("traces", "erase", "--user", "bob", "--why", "the same", "--json").json
        assert said["result"]["traces"] == 3
        assert again.get("/traces")["items"] == []
        again.shell("traces", "erase", "--user", "bob").refused(2, "why")
        again.shell("traces", "erase", "--user", "a", "--trace", "b", "--why", "x").refused(2)
