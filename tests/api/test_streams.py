"""Server-sent events as a raw client sees them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import anyio
import pytest

from api.house import House, Project
from tidemill.api.events import Event, event_stream
from waiting import until

SLOW = """
{kind: model, name: slow, provider: test, reply: "one two three four five six seven eight", tokens_per_second: 4}
---
kind: chain
name: slow
inputs: {question: string}
steps: [{id: answer, prompt: prompt/ask, model: model/slow, with: {question: "{{question}}"}}]
output: "{{answer.text}}"
"""


def events(house: House, path: str, **headers: str) -> tuple[int, str]:
    answer = house.http.get(path, headers=headers)
    return answer.status_code, answer.text


def test_a_job_is_followed_and_taken_up_again(house: House, filled: Project) -> None:
    job = filled.post("/evaluations", {"app": "chain/tide", "data": "dataset/questions"})["job"]
    path = f"{filled.base}/jobs/{job}/events"
    status, text = events(house, path)
    assert (status, text.partition("\n\n")[0]) == (200, "retry: 2000")
    blocks = [dict(line.split(": ", 1) for line in each.split("\n")) for each in text.strip().split("\n\n")[1:]]
    assert all(each["event"] == "job" for each in blocks)
    ids = [each["id"] for each in blocks]
    assert len(set(ids)) == len(ids)
    assert json.loads(blocks[-1]["data"])["status"] == "done"
    assert events(house, path, **{"last-event-id": ids[-1]})[0] == 204
    status, text = events(house, path, **{"last-event-id": "running-1-0"})
    assert (status, text.count("event: job")) == (200, 1)


def test_events_are_never_packed_nor_kept(house: House, filled: Project) -> None:
    body = {"app": "chain/tide", "inputs": {"question": "?"}, "stream": True}
    with house.http.stream("POST", filled.base + "/runs", json=body, headers={"accept-encoding": "gzip, zstd"}) as answer:
        assert "content-encoding" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"
        text = b"".join(answer.iter_raw()).decode()
    ids = [line[4:] for line in text.split("\n") if line.startswith("id: ")]
    assert [each.partition(".")[2] for each in ids] == [str(n + 1) for n in range(len(ids))]
    assert "event: result" in text


def test_closing_a_stream_stops_the_run(house: House, filled: Project) -> None:
    filled.apply(s=SLOW)
    body = json.dumps({"app": "chain/slow", "inputs": {"question": "?"}, "stream": True})
    with house.socket() as line:
        head = f"POST {filled.base}/runs HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {house.token}\r\n"
        line.sendall(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        got = b""
        while b"event: delta" not in got:
            got += line.recv(4096)
    trace = got.partition(b"\nid: ")[2].partition(b".")[0].decode()
    until(lambda: filled.raw("GET", f"/traces/{trace}").status_code == 200 and filled.get(f"/traces/{trace}")["spans"])
    ended = filled.get(f"/traces/{trace}")
    assert "eight" not in json.dumps(ended["output"])


@pytest.mark.anyio
async def test_silence_is_broken_and_the_source_closed() -> None:
    closed = anyio.Event()

    async def source() -> AsyncGenerator[Event]:
        try:
            yield Event(id="1", name="a", data={"x": "line\nend"})
            await anyio.sleep_forever()
        finally:
            closed.set()

    stream = event_stream(source(), silence=0.01).body_iterator
    got = [await anext(stream) for _ in range(4)]
    assert got[1] == b'id: 1\nevent: a\ndata: {"x":"line\\nend"}\n\n'
    assert got[2:] == [b": here\n\n"] * 2
    await stream.aclose()  # pyright: ignore[reportAttributeAccessIssue]  (a generator)
    with anyio.fail_after(5):
        await closed.wait()
