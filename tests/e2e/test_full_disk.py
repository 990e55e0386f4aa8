"""A disk that is full: a real small file system, filled to the last byte."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.processes import Server, Shell, served

MODEL = "kind: model\nname: m\nprovider: test\nreply: yes {number}\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder), capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(("umount", "-l", folder), check=True)


def fill(folder: Path) -> Path:
    """Use up every byte."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return filler


def figure(server: Server, name: str) -> float:
    """One figure of `/metrics`."""
    items = server.http.get("/metrics", params={"form": "json"}).json()["items"]
    return next(each["value"] for each in items if each["name"] == name)


def names(server: Server) -> set[str]:
    return {each["digest"] for each in server.get("/artifacts")["items"]}


def test_a_full_disk_says_so_and_loses_nothing(small_disk: Path, folder: Path) -> None:
    (folder / "documents").mkdir()
    with served(folder, data=small_disk / "data") as server:
        server.shell.write(app=MODEL.format(number=1))
        server.shell.json("apply")
        server.post("/endpoints/live:deploy", {"app": "model/m"})
        before = names(server)
        filler = fill(small_disk)
        rows = "question\n" + "".join(f"what is {number}?\n" for number in range(20_000))
        (folder / "rows.csv").write_text(rows)
        server.shell.write(data="kind: dataset\nname: big\npath: rows.csv\nroles: {input: question}\n")
        server.shell("apply", "--yes").refused(5, "full")
        assert names(server) == before
        body = {"model": "endpoint/live", "messages": [{"role": "user", "content": "?"}]}
        assert server.http.post("/v1/chat/completions", json=body).status_code == 200  # answering needs no room
        assert server.http.get("/healthz").status_code == 200
        filler.unlink()
        assert {each["ref"] for each in server.shell.json("apply")["changes"]} == {"dataset/big"}
        assert before < names(server)


def test_a_server_does_not_start_on_a_full_disk(small_disk: Path, folder: Path) -> None:
    filler = fill(small_disk)
    Shell(folder)("up", "--port", "0", "--no-open", "--data", str(small_disk / "data")).refused(5, "full")
    filler.unlink()
    with served(folder, data=small_disk / "data") as server:
        assert server.http.get("/readyz").status_code == 200


@pytest.mark.slow
def test_a_full_spool_lets_requests_pass_and_tells_of_the_gap(small_disk: Path, folder: Path) -> None:
    """More spans come than wait in memory (64 MiB) while the disk takes none: every request is answered, the gap is counted."""
    with served(folder, data=small_disk / "data") as server:
        server.shell.write(app=MODEL.format(number=1))
        server.shell.json("apply")
        body = {"model": "model/m", "messages": [{"role": "user", "content": "x" * 15_000}]}  # small enough to wait in memory
        filler = fill(small_disk)
        sent = dropped = 0
        while not dropped and sent < 10_000:
            for number in range(400):
                answer = server.http.post("/v1/chat/completions", json={**body, "stream": number % 2 == 1})
                assert answer.status_code == 200, answer.text
                assert "yes" in answer.text
            sent += 400
            dropped = figure(server, "tidemill_spans_dropped_total")
        assert 0 < dropped < sent
        assert "tidemill_spans_dropped_total" in server.http.get("/metrics").text
        (found,) = [each for each in server.shell.json("doctor")["checks"] if each["what"] == "spans"]
        assert found["result"] == "warning"
        assert f"{figure(server, 'tidemill_spans_dropped_total'):.0f} dropped" in found["said"]
        log = server.log.read_text()
        assert "no room left for spans" in log
        assert "Requests go on" in log
        filler.unlink()
        assert server.http.post("/v1/chat/completions", json=body).status_code == 200
