"""What the gateway adds: latency, time to the first token, CPU and memory; how much it bears; the price of each feature.

    python -m bench.gateway [--litellm PYTHON] [--seconds 1.5] [--soak SECONDS]

Servers on loopback, each in a process of its own: an upstream that answers at once, the barest ASGI proxy before it (the same
HTTP server, aiohttp as the client), `tidemill up` with keys, limits, a budget, tracing and cost on, and LiteLLM's proxy where
`--litellm` names the python of an environment that has `litellm[proxy]`. The same client sends the same requests to each.

`--soak` asks for so long, whole and streamed, and says how much memory grew once it was warm.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import uvloop

from bench.gateway_load import Target, by_turns, load
from bench.gateway_servers import MODEL, LiteLLM, Server, own
from bench.measure import family_memory, python, report

LATENCY_BUDGET_MS, CPU_BUDGET, LITELLM_BUDGET = 0.5, 2.0, 0.05
CALLERS = (1, 8, 32, 128)
TURNS, FEATURE_CALLERS, SOAK_CALLERS = 250, 8, 16
BAREST, UPSTREAM = "the barest ASGI proxy", "the upstream alone"
FILES = """
kind: connection
name: openai
provider: openai
base_url: {url}/v1
allow_private: true
---
{{kind: model, name: upstream, provider: openai, model: {model}}}
---
{{kind: model, name: unpriced, provider: openai, model: tide}}
"""
LIMITS = "\n---\n{kind: limits, name: all, for: project, rpm: 100000000, tpm: 100000000000, budget: 1000000/day}\n"
ALONE = """
---
{kind: telemetry, name: default, sampling: {head: 0.000001}}
---
{kind: guardrail, name: short, on: input, check: {max_length: {characters: 2000}}, action: block}
---
{kind: endpoint, name: nothing, app: model/unpriced}
---
{kind: endpoint, name: cost, app: model/upstream}
---
{kind: endpoint, name: limits, app: model/unpriced, limits: {rpm: 100000000, tpm: 100000000000, budget: 1000000/day}}
---
{kind: endpoint, name: cache, app: model/unpriced, cache: {ttl: 1h, share: project}}
---
{kind: endpoint, name: guardrail, app: model/unpriced, guardrails: [guardrail/short]}
"""


class Project:
    """A project of the server: what it says, and a key for its endpoints."""

    def __init__(self, server, token, name):
        self.base = f"{server.url}/api/v1/projects/{name}"
        self.headers = {"authorization": f"Bearer {token}"}

    async def post(self, path, body):
        async with (
            aiohttp.ClientSession(headers=self.headers) as session,
            session.post(self.base + path, json=body) as answer,
        ):
            found = await answer.json()
            assert answer.status < 300, found
            return found

    async def prepare(self, files, endpoints):
        await self.post("/apply", {"files": {"tidemill/gateway.yaml": files}})
        for name, app in endpoints.items():
            await self.post(f"/endpoints/{name}:deploy", {"app": app})
        return (await self.post("/keys", {"endpoints": list(endpoints)}))["key"]


async def prepare(server, token, url):
    """Everything on in one project; in another all off, and each feature alone at an endpoint."""
    files = FILES.format(url=url, model=MODEL)
    full = await Project(server, token, "default").prepare(files + LIMITS, {"gateway": "model/upstream"})
    names = ("nothing", "cost", "limits", "cache", "guardrail")
    apps = {each: "model/upstream" if each == "cost" else "model/unpriced" for each in names}
    alone = await Project(server, token, "alone").prepare(files + ALONE, apps)
    traced = await Project(server, token, "traced").prepare(files, {"tracing": "model/unpriced"})
    return full, alone, traced


async def latency(targets, *, stream):
    """Of one caller, by turns."""
    direct, proxy, ours, others = targets
    times = await by_turns([direct, proxy, ours, *others.values()], rounds=TURNS, stream=stream)
    form = "streamed" if stream else "whole"
    for name, place in (("added latency", 0), *((("added time to the first token", 1),) if stream else ())):
        found = {each: [one[place] * 1000 for one in all_of] for each, all_of in times.items()}
        for part, value in (("p50", statistics.median), ("p99", lambda one: statistics.quantiles(one, n=100)[98])):
            base = value(found[direct])
            for also, other in ((BAREST, proxy), *others.items()):
                budget = {"budget": LATENCY_BUDGET_MS} if part == "p50" and also == BAREST else {}
                report(
                    "gateway", f"{name} {part}, {form}, 1 caller", ours=value(found[ours]) - base,
                    baseline=value(found[other]) - base, unit="ms", baseline_is=also, upstream=round(base, 4), requests=TURNS,
                    **budget,
                )  # fmt: skip


async def throughput(targets, *, callers, stream, seconds):
    """Of many callers, each target by itself."""
    direct, proxy, ours, others = targets
    found = {each: await load(each, callers=callers, seconds=seconds, stream=stream) for each in (direct, proxy, ours)}
    slow = {name: await load(each, callers=callers, seconds=max(2.0, seconds), stream=stream) for name, each in others.items()}
    where = f"{'streamed' if stream else 'whole'}, {callers} {'caller' if callers == 1 else 'callers'}"
    mine, base = found[ours], found[direct]
    beside = {BAREST: found[proxy], **slow}
    for name, other in ((UPSTREAM, base), *beside.items()):
        report(
            "gateway", f"requests a second, {where}", ours=mine.rate, baseline=other.rate, unit="requests/s",
            baseline_is=name, requests=mine.requests,
        )  # fmt: skip
    for name, other in beside.items():
        budget = {"budget_ratio": CPU_BUDGET if name == BAREST else LITELLM_BUDGET}
        report(
            "gateway", f"CPU a request, {where}", ours=mine.cpu_ms, baseline=other.cpu_ms, unit="ms", baseline_is=name,
            children=round(mine.children_ms, 4), requests=mine.requests, **budget,
        )  # fmt: skip
        for part in (0.5, 0.99):
            report(
                "gateway", f"latency p{part * 100:.0f}, {where}", ours=mine.ms(part), baseline=other.ms(part), unit="ms",
                baseline_is=name, upstream=round(base.ms(part), 4),
            )  # fmt: skip
        if stream:
            report(
                "gateway", f"time to the first token p50, {where}", ours=mine.ms(0.5, first=True),
                baseline=other.ms(0.5, first=True), unit="ms", baseline_is=name, upstream=round(base.ms(0.5, first=True), 4),
            )  # fmt: skip
        report("gateway", f"memory, {where}", ours=mine.memory, baseline=other.memory, unit="MiB", baseline_is=name)


async def features(server, alone, traced, *, seconds, rounds=3):
    """What each costs by itself: CPU a request beside the same server with all of them off but the key."""

    def at(name, **more):
        return Target(server, model=f"endpoint/{name}", token=traced if name == "tracing" else alone, **more)

    kept = at("cache")
    targets = {
        "limits and a budget": at("limits"), "tracing": at("tracing"), "cost": at("cost"), "a guardrail": at("guardrail"),
        "the cache, on a miss": at("cache", fresh=True), "the cache, on a hit": kept,
    }  # fmt: skip
    nothing, found = at("nothing"), {name: [] for name in targets}
    await load(kept, callers=1, seconds=0.2, stream=False)
    plain = []
    for _ in range(rounds):
        plain.append(await load(nothing, callers=FEATURE_CALLERS, seconds=seconds, stream=False))
        for name, each in targets.items():
            found[name].append(await load(each, callers=FEATURE_CALLERS, seconds=seconds, stream=False))
    for name, each in found.items():
        report(
            "gateway", f"CPU a request with {name}", ours=min(one.cpu_ms for one in each),
            baseline=min(one.cpu_ms for one in plain), unit="ms", baseline_is="the same with a key alone",
            latency_p50=round(min(one.ms(0.5) for one in each), 4),
            latency_p50_without=round(min(one.ms(0.5) for one in plain), 4),
        )  # fmt: skip


async def soak(target, seconds):
    """Memory over a long time under load; the first quarter is for warming up."""
    samples, start = [], time.monotonic()

    async def watch():
        while True:
            samples.append((time.monotonic() - start, family_memory(target.server.pid) / 2**20))
            await asyncio.sleep(max(0.5, seconds / 200))

    watching = asyncio.create_task(watch())
    requests = 0
    try:
        while (left := seconds - (time.monotonic() - start)) > 0:
            for stream in (False, True):
                turn = await load(target, callers=SOAK_CALLERS, seconds=min(10.0, left / 2 + 0.1), stream=stream, warm=0)
                requests += turn.requests
    finally:
        watching.cancel()
    warm = [each for each in samples if each[0] >= seconds / 4]
    slope = statistics.linear_regression(*zip(*warm, strict=True)).slope * 3600
    first, last = (statistics.median(each[1] for each in part) for part in (warm[:10], warm[-10:]))
    report(
        "gateway", f"memory after a soak of {seconds:.0f} s", ours=last, baseline=first, unit="MiB",
        baseline_is="the same once warm", slope_mib_an_hour=round(slope, 2), requests=requests,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway")
    parser.add_argument("--litellm", metavar="PYTHON", help="the python of an environment with litellm[proxy]")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each load")
    parser.add_argument("--soak", type=float, default=0.0, metavar="SECONDS")
    uvloop.run(run(parser.parse_args()))
    return 0


async def run(asked):
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as servers:

        def started(server):
            servers.callback(server.stop)
            return server

        source = started(own("upstream"))
        proxy = started(own("proxy", source.url))
        command = [str(Path(python()).with_name("tidemill")), "up", "--port", "0", "--json", "--no-open", "--data", folder]
        tidemill = started(Server(command, address=lambda line: json.loads(line)["url"]))
        token = await asyncio.to_thread(Path(json.loads(tidemill.line)["token_file"]).read_text)
        full, alone, traced = await prepare(tidemill, token.strip(), source.url)
        ours = Target(tidemill, model="endpoint/gateway", token=full)
        if asked.soak:
            await soak(ours, asked.soak)
            return
        others = {}
        if asked.litellm:
            litellm = started(LiteLLM(asked.litellm, source.url, folder))
            others["LiteLLM"] = Target(litellm, token=litellm.token)
        else:
            print("LiteLLM is left out: name the python of its environment with --litellm", file=sys.stderr)
        targets = (Target(source), Target(proxy), ours, others)
        for stream in (False, True):
            await latency(targets, stream=stream)
            for callers in CALLERS:
                await throughput(targets, callers=callers, stream=stream, seconds=asked.seconds)
        await features(tidemill, alone, traced, seconds=asked.seconds / 2)


if __name__ == "__main__":
    sys.exit(main())
