"""kill -9 of a server that counts: what was written is still counted, and the limit of the day is never passed."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from e2e.processes import Server, served
from waiting import until

MODEL = "kind: model\nname: m\nprovider: test\n"


def ask(server: Server, key: str) -> int:
    body = {"model": "model/m", "messages": [{"role": "user", "content": "one two three"}]}
    return server.http.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}).status_code


def wait_until_written(server: Server, key: str, requests: int) -> None:
    """Look into the file itself: a question to the server would make it write."""
    with contextlib.closing(sqlite3.connect(f"file:{server.data}/meta.db?mode=ro", uri=True)) as file:
        query = "SELECT sum(requests) FROM usage_days WHERE subject = ?"
        until(lambda: file.execute(query, (f"key/{key}",)).fetchone()[0] == requests)


def test_a_limit_of_the_day_holds_through_kills(folder: Path) -> None:
    server = Server(folder)
    server.post("/apply", {"files": {"tidemill/m.yaml": MODEL}})
    made = server.post("/keys", {"limits": {"rpd": 25}, "models": ["m"]})
    for _ in range(2):
        assert [ask(server, made["key"]) for _ in range(8)] == [200] * 8
        wait_until_written(server, made["id"], server.get(f"/keys/{made['id']}/usage")["total"]["requests"])
        server.kill()
        server = Server(folder)
    server.stop()
    with served(folder) as server:
        answers = [ask(server, made["key"]) for _ in range(12)]
        assert answers == [200] * 9 + [429] * 3
        found = server.get(f"/keys/{made['id']}/usage")
        assert (found["total"]["requests"], found["total"]["refused"]) == (25, 3)
        assert found["limits"] == [{"unit": "requests", "per": "day", "limit": 25, "used": 25}]


def test_what_is_not_asked_for_is_written_within_a_moment(folder: Path) -> None:
    server = Server(folder)
    server.post("/apply", {"files": {"tidemill/m.yaml": MODEL}})
    made = server.post("/keys", {})
    assert [ask(server, made["key"]) for _ in range(5)] == [200] * 5
    wait_until_written(server, made["id"], 5)
    server.kill()
    with served(folder) as server:
        assert server.get(f"/keys/{made['id']}/usage")["total"]["requests"] == 5
