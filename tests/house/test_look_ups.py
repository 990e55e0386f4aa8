"""The server calls nobody: with a model of its own, no name is looked up and no address but loopback is connected to."""

from __future__ import annotations

import ast
import ipaddress
from pathlib import Path

from e2e.processes import served
from e2e.specs import write_tides
from house.processes import ROOT

WATCH = """
import os, sys
PLACES = {"socket.getaddrinfo": 0, "socket.gethostbyname": 0, "socket.connect": 1, "socket.sendto": 1}
def watch(event, arguments):
    if event in PLACES:
        with open(os.environ["WATCHED"], "a") as log:
            log.write(repr((event, str(arguments[PLACES[event]]))) + "\\n")
sys.addaudithook(watch)
"""


def test_nothing_but_loopback_is_looked_up(tmp_path: Path) -> None:
    """Through an apply with an index, a run, an evaluation, a trace: in the server, its children and the command line."""
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    folder = tmp_path / "project"
    folder.mkdir()
    write_tides(folder)
    log = tmp_path / "watched"
    watched = {"PYTHONPATH": f"{tmp_path / 'watch'}:{ROOT / 'src'}", "WATCHED": str(log)}
    with served(folder, **watched) as server:
        for arguments in (
            ("apply",),
            ("run", "chain/app", "--input", "question=What moves the tide?"),
            ("eval", "chain/app", "--data", "dataset/questions"),
            ("traces", "list"),
        ):
            server.shell.json(*arguments, **watched)
    seen = [ast.literal_eval(line) for line in log.read_text().splitlines()]
    assert any(event == "socket.connect" for event, _ in seen)  # the watch works: the command line reached the server
    assert [each for each in seen if not is_local(each[1])] == []


def is_local(address: str) -> bool:
    """A loopback address, `localhost`, or a socket in the file system."""
    if address.startswith("("):
        address = str(ast.literal_eval(address)[0])
    if address in {"localhost", "None"} or address.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
