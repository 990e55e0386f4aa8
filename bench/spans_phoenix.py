"""Phoenix's own ingest, over its OTLP door: what `bench/spans.py` runs in the interpreter that has it.

    PYTHON bench/spans_phoenix.py FOLDER

FOLDER has OTLP requests in protobuf, a file each. The last line that is printed is the result in JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from loopback import START_SECONDS, STORE_SECONDS, cpu, disk, free_port, post, run, stop, timed, total, until


def ask(url, query):
    body = json.dumps({"query": query}).encode()
    answer = json.loads(post(f"{url}/graphql", body, {"content-type": "application/json"}))
    if answer.get("errors"):
        raise RuntimeError(str(answer["errors"])[:300])
    return answer["data"]


def measure(bodies, folder, log):
    port, door = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ, "PHOENIX_WORKING_DIR": str(folder), "PHOENIX_PORT": str(port), "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_GRPC_PORT": str(door), "PHOENIX_TELEMETRY_ENABLED": "false", "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }  # fmt: skip
    server = subprocess.Popen(
        [sys.executable, "-m", "phoenix.server.main", "serve"],
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=folder,
    )
    try:
        until(lambda: ask(url, "{ projects { edges { node { name } } } }") is not None, START_SECONDS, server)
        first = counted(url)
        used, before, size = cpu(server.pid), time.perf_counter(), disk(folder)
        for body in bodies:
            post(f"{url}/v1/traces", body)
        wanted = first + total(bodies)
        until(lambda: counted(url) >= wanted, STORE_SECONDS, server)
        took, used = time.perf_counter() - before, cpu(server.pid) - used
        spans = counted(url) - first
        listed, _ = timed(lambda: ask(url, LATEST))
        searched, found = timed(lambda: ask(url, SEARCH))
        hits = sum(len(each["node"]["spans"]["edges"]) for each in found["projects"]["edges"])
        return {
            "spans": spans, "spans_per_second": round(spans / took), "cpu_us_per_span": round(used / spans * 1e6),
            "bytes_per_span": round((disk(folder) - size) / spans), "latest_50_ms": listed, "text_search_ms": searched,
            "text_search_hits": hits,
        }  # fmt: skip
    finally:
        stop(server)


_SPANS = "{ projects { edges { node { spans(first: 50, sort: {col: startTime, dir: desc}%s) { edges { node { name } } } } } } }"
LATEST = _SPANS % ""
SEARCH = _SPANS % ", filterCondition: \"'case77' in output.value\""


def counted(url):
    return sum(
        each["node"]["recordCount"] for each in ask(url, "{ projects { edges { node { recordCount } } } }")["projects"]["edges"]
    )


if __name__ == "__main__":
    sys.exit(run(measure))
