"""The servers that the gateway is measured beside: an upstream that answers at once, the barest proxy, LiteLLM."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import aiohttp
import uvicorn
import uvloop

from bench.measure import python

MODEL = "gpt-4o-mini"
PIECES = 40
USAGE = {"prompt_tokens": 20, "completion_tokens": PIECES, "total_tokens": 20 + PIECES}


def _chunk(delta, *, finish=None, **more):
    choices = [] if "usage" in more else [{"index": 0, "delta": delta, "finish_reason": finish}]
    frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": choices, **more}
    return f"data: {json.dumps(frame)}\n\n".encode()


def _sent(event):
    return b"%x\r\n%b\r\n" % (len(event), event)


_ANSWER = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "tide " * PIECES}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
).encode()  # fmt: skip
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_ANSWER), _ANSWER)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENTS = [
    _sent(each)
    for each in (
        _chunk({"role": "assistant", "content": ""}), *[_chunk({"content": "tide "})] * PIECES, _chunk({}, finish="stop"),
        _chunk({}, usage=USAGE), b"data: [DONE]\n\n",
    )
]  # fmt: skip


class Upstream(asyncio.Protocol):
    """Answers at once what was written beforehand; a stream in as many writes as it has events."""

    def connection_made(self, transport):
        self.transport, self.held = transport, b""

    def data_received(self, data):
        self.held += data
        while (at := self.held.find(b"\r\n\r\n")) >= 0:
            head = self.held[:at].lower()
            size = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
            if len(self.held) < at + 4 + size:
                return
            body, self.held = self.held[at + 4 : at + 4 + size], self.held[at + 4 + size :]
            if b'"stream":true' in body or b'"stream": true' in body:
                self.writing = asyncio.ensure_future(self.stream())
            else:
                self.transport.write(WHOLE)

    async def stream(self):
        self.transport.write(HEAD)
        for each in EVENTS:
            self.transport.write(each)
            await asyncio.sleep(0)
        self.transport.write(b"0\r\n\r\n")


async def serve_upstream():
    """Listen on a free port, say which, and answer for ever."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


class Proxy:
    """Passes the request on and the answer back, and does nothing else."""

    def __init__(self, url):
        self.url = url
        self.session = None

    async def __call__(self, scope, receive, send):
        if self.session is None:
            self.session = aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0))
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        headers = {"content-type": "application/json"}
        async with self.session.post(self.url + scope["path"], data=body, headers=headers) as answer:
            passed = (b"content-type", b"content-length")
            head = [(name.lower(), value) for name, value in answer.raw_headers if name.lower() in passed]
            await send({"type": "http.response.start", "status": answer.status, "headers": head})
            async for piece in answer.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def serve_proxy(url):
    """The barest ASGI proxy, with what uvicorn does best: llhttp and libuv, no log."""
    listener = uvicorn.Config(Proxy(url), port=0, log_level="warning").bind_socket()
    listener.listen(1024)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(Proxy(url), lifespan="off", access_log=False, log_level="warning", http="httptools", loop="uvloop")
    uvicorn.Server(config).run(sockets=[listener])


class Server:
    """A server in a process of its own. `line` is the first that it prints, `url` where it is."""

    def __init__(self, command, *, address=str.strip, **options):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
        self.pid = self.process.pid
        self.line = self.process.stdout.readline()
        self.url = address(self.line)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(40)
        if self.process.poll() is None:
            self.process.kill()


def own(*arguments):
    """One of the servers of this module."""
    return Server([python(), "-m", "bench.gateway_servers", *arguments])


class LiteLLM(Server):
    """LiteLLM's proxy with one worker and a master key, out of an environment of its own."""

    token = "sk-tide"

    def __init__(self, interpreter, url, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = Path(folder) / "litellm.yaml"
        config.write_text(
            "model_list:\n  - model_name: upstream\n    litellm_params:\n"
            f"      {{model: openai/{MODEL}, api_base: '{url}/v1', api_key: none}}\n"
            f"general_settings: {{master_key: {self.token}}}\nlitellm_settings: {{telemetry: false}}\n"
        )
        start = "import sys; from litellm import run_server; sys.exit(run_server())"
        command = [interpreter, "-c", start, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        quiet = {"stderr": subprocess.DEVNULL, "env": {**os.environ, "LITELLM_LOG": "ERROR"}, "cwd": folder}
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **quiet)
        self.pid, self.url = self.process.pid, f"http://127.0.0.1:{port}"
        self._wait(time.monotonic() + 90)

    def _wait(self, until):
        while True:
            with contextlib.suppress(URLError, OSError), urlopen(f"{self.url}/health/liveliness", timeout=2):
                return
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError("LiteLLM did not start")
            time.sleep(0.5)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["upstream"]:
            uvloop.run(serve_upstream())
        case ["proxy", where]:
            serve_proxy(where)
