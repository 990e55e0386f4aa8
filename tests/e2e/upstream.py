"""A loopback server that speaks OpenAI's dialect, and misbehaves when told; `/CASE/v1` is the base URL of each case."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler", dict], None]


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the case that its path names."""

    cases: dict[str, Answer]
    seen: Counter[str]

    def do_POST(self) -> None:
        case = self.path.split("/")[1]
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen[case] += 1
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.cases[case](self, body)

    def log_message(self, format, *args) -> None:  # noqa: A002  (the base class's)
        """Say nothing."""

    def reply(self, status: int, content: str, *, kind="application/json", length: int | None = None, **headers: str) -> None:
        data = content.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def complete(self, text: str) -> None:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        self.reply(200, json.dumps({"id": "c", "model": "m", "choices": [choice], "usage": usage}))


@contextlib.contextmanager
def listening(cases: dict[str, Answer]) -> Iterator[tuple[str, Counter[str]]]:
    """Serve; the address, and how often each case was asked."""
    handler = type("Cases", (Handler,), {"cases": cases, "seen": Counter()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def reached_at(name: str, url: str, **fields: object) -> str:
    """`chain/NAME` whose model is reached at `url`."""
    connection = {"base_url": url, "allow_private": True, "timeout": 5, "api_key": "env:UPSTREAM_KEY", **fields}
    return f"""
kind: connection
name: {name}
provider: openai
{"".join(f"{key}: {json.dumps(value)}" + chr(10) for key, value in connection.items())}
---
kind: model
name: {name}
provider: openai
model: m
connection: {name}
---
kind: prompt
name: {name}
text: "{{{{question}}}}"
variables: [question]
---
kind: chain
name: {name}
inputs: {{question: string}}
steps:
  - {{id: answer, prompt: prompt/{name}, model: model/{name}, with: {{question: "{{{{question}}}}"}}}}
output: "{{{{answer.text}}}}"
"""
