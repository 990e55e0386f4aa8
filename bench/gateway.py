"""The endpoint's added latency, requests a second and CPU a request, against the upstream itself and the barest proxy.

    python -m bench.gateway

Three servers on loopback: an upstream that answers at once, the barest aiohttp-based ASGI proxy before it, and `tidemill up`
with an endpoint whose model is that upstream (keys, tracing and cost on). The same client sends the same requests by turns.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import uvicorn

from bench.measure import _family, python, report

SEQUENTIAL, CONCURRENT, CALLERS, WARM_UP = 400, 2000, 16, 100
LATENCY_BUDGET_MS, CPU_BUDGET = 0.5, 2.0
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "upstream",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "tide " * 40}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 40, "total_tokens": 52},
    }
).encode()  # fmt: skip
QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "When is high water at Husum?"}]
FILES = """
kind: connection
name: openai
provider: openai
base_url: {url}/v1
allow_private: true
---
kind: model
name: upstream
provider: openai
model: upstream
"""


async def upstream(_scope, receive, send):
    """Reads the request and answers at once."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


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
            head = [(name.lower(), value) for name, value in answer.raw_headers if name.lower() == b"content-type"]
            await send({"type": "http.response.start", "status": answer.status, "headers": head})
            async for piece in answer.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


class Server:
    """A server in a process of its own: its address, and the CPU that it and its children have used."""

    def __init__(self, command, *, address):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.url = address(self.line)

    def cpu_seconds(self):
        """Of the server itself, and of its children together."""
        used = {}
        for pid in _family(self.process.pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            used[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        own = used[self.process.pid]
        return own, sum(used.values()) - own

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(40)


class Target:
    """One way to the same answer."""

    def __init__(self, server, *, model="upstream", token=""):
        self.server = server
        self.body = json.dumps({"model": model, "messages": QUESTION}).encode()
        self.headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}

    async def ask(self, session):
        start = time.perf_counter()
        async with session.post(f"{self.server.url}/v1/chat/completions", data=self.body, headers=self.headers) as answer:
            content = await answer.read()
        assert answer.status == 200, content
        return time.perf_counter() - start

    async def load(self, session):
        """Requests a second, and CPU seconds a request of the server and of its children, with several callers."""
        left = iter(range(CONCURRENT))

        async def call():
            for _ in left:
                await self.ask(session)

        before, start = self.server.cpu_seconds(), time.perf_counter()
        await asyncio.gather(*(call() for _ in range(CALLERS)))
        took = time.perf_counter() - start
        own, children = (after - earlier for after, earlier in zip(self.server.cpu_seconds(), before, strict=True))
        return CONCURRENT / took, own / CONCURRENT, children / CONCURRENT


async def prepare(server, token, url):
    """Describe the model, and put it behind an endpoint; a key that may call only that."""
    base = f"{server.url}/api/v1/projects/default"
    headers = {"authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for path, body in (
            ("/apply", {"files": {"tidemill/gateway.yaml": FILES.format(url=url)}}),
            ("/endpoints/gateway:deploy", {"app": "model/upstream"}),
            ("/keys", {"endpoints": ["gateway"]}),
        ):
            async with session.post(base + path, json=body) as answer:
                found = await answer.json()
                assert answer.status < 300, found
    return found["key"]


async def measure(direct, proxy, ours):
    targets = (direct, proxy, ours)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for each in targets:
            for _ in range(WARM_UP):
                await each.ask(session)
        times = {each: [] for each in targets}
        for _ in range(SEQUENTIAL):
            for each in targets:
                times[each].append(await each.ask(session))
        p50 = {each: statistics.median(found) * 1000 for each, found in times.items()}
        p95 = {each: statistics.quantiles(found, n=20)[-1] * 1000 for each, found in times.items()}
        loads = {each: await each.load(session) for each in targets}
    barest = "the barest aiohttp-based ASGI proxy"
    report(
        "gateway", "added latency p50", ours=p50[ours] - p50[direct], baseline=p50[proxy] - p50[direct], unit="ms",
        baseline_is=barest, budget=LATENCY_BUDGET_MS, upstream=round(p50[direct], 4), requests=SEQUENTIAL,
    )  # fmt: skip
    report(
        "gateway", "latency p95", ours=p95[ours], baseline=p95[proxy], unit="ms", baseline_is=barest,
        upstream=round(p95[direct], 4), requests=SEQUENTIAL,
    )  # fmt: skip
    report(
        "gateway", "CPU a request", ours=loads[ours][1] * 1000, baseline=loads[proxy][1] * 1000, unit="ms",
        baseline_is=barest, budget_ratio=CPU_BUDGET, children=round(loads[ours][2] * 1000, 4),
        upstream=round(loads[direct][1] * 1000, 4), requests=CONCURRENT,
    )  # fmt: skip
    for name, other in (("the upstream itself", direct), (barest, proxy)):
        report(
            "gateway", "requests a second", ours=loads[ours][0], baseline=loads[other][0], unit="requests/s",
            baseline_is=name, callers=CALLERS, requests=CONCURRENT,
        )  # fmt: skip


def serve(app):
    """Listen on a free port, say which, and serve with what uvicorn does best."""
    listener = uvicorn.Config(app, port=0, log_level="warning").bind_socket()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, lifespan="off", access_log=False, log_level="warning")).run(sockets=[listener])


def main() -> int:
    match sys.argv[1:]:
        case ["upstream"]:
            serve(upstream)
        case ["proxy", url]:
            serve(Proxy(url))
        case _:
            run()
    return 0


def run():
    servers = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            own = [python(), "-m", "bench.gateway"]
            servers.append(source := Server([*own, "upstream"], address=str.strip))
            servers.append(barest := Server([*own, "proxy", source.url], address=str.strip))
            command = [str(Path(python()).with_name("tidemill")), "up", "--port", "0", "--json", "--no-open", "--data", folder]
            servers.append(tidemill := Server(command, address=lambda line: json.loads(line)["url"]))
            token = Path(json.loads(tidemill.line)["token_file"]).read_text().strip()
            key = asyncio.run(prepare(tidemill, token, source.url))
            gateway = Target(tidemill, model="endpoint/gateway", token=key)
            asyncio.run(measure(Target(source), Target(barest), gateway))
        finally:
            for each in reversed(servers):
                each.stop()


if __name__ == "__main__":
    sys.exit(main())
