"""MLflow's own ingest, over its OTLP door: what `bench/spans.py` runs in the interpreter that has it.

    PYTHON bench/spans_mlflow.py FOLDER

FOLDER has OTLP requests in protobuf, a file each. The last line that is printed is the result in JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request

from loopback import START_SECONDS, STORE_SECONDS, cpu, disk, free_port, post, run, stop, timed, total, until

EXPERIMENT = "0"
TRACE = 10


def measure(bodies, folder, log):
    port = free_port()
    url, kept = f"http://127.0.0.1:{port}", f"sqlite:///{folder}/mlflow.db"
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", kept,
         "--default-artifact-root", str(folder / "artifacts"), "--workers", "1"],
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}, stdout=log, stderr=subprocess.STDOUT, cwd=folder,
    )  # fmt: skip
    try:
        until(lambda: urllib.request.urlopen(f"{url}/health", timeout=5).status == 200, START_SECONDS, server)
        used, before, size = cpu(server.pid), time.perf_counter(), disk(folder)
        for body in bodies:
            post(f"{url}/v1/traces", body, {"x-mlflow-experiment-id": EXPERIMENT})
        spans = total(bodies)
        until(lambda: traces(url) >= min(500, spans // TRACE), STORE_SECONDS, server)
        took, used = time.perf_counter() - before, cpu(server.pid) - used
        listed, _ = timed(lambda: search(url, {"max_results": 50}))
        searched, found = timed(lambda: search(url, {"max_results": 50, "filter": "trace.text LIKE '%case77%'"}))
        return {
            "spans": spans, "spans_per_second": round(spans / took), "cpu_us_per_span": round(used / spans * 1e6),
            "bytes_per_span": round((disk(folder) - size) / spans), "latest_50_ms": listed, "text_search_ms": searched,
            "text_search_hits": len(found.get("traces", ())),
        }  # fmt: skip
    finally:
        stop(server)


def search(url, more):
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": EXPERIMENT}}
    body = json.dumps({"locations": [place], **more}).encode()
    return json.loads(post(f"{url}/api/3.0/mlflow/traces/search", body, {"content-type": "application/json"}))


def traces(url):
    return len(search(url, {"max_results": 500}).get("traces", ()))


if __name__ == "__main__":
    sys.exit(run(measure))
