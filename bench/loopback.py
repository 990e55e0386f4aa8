"""What the scripts that measure another platform's server share. They run in that platform's interpreter, without Tidemill."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

START_SECONDS, STORE_SECONDS, ROUNDS = 180, 600, 5


def post(url, body, headers=None):
    request = urllib.request.Request(url, body, {"content-type": "application/x-protobuf", **(headers or {})})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read()


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def family(pid):
    """The process and its descendants, with the ticks that each has used."""
    parents, ticks = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
                ticks[int(entry.name)] = int(fields[11]) + int(fields[12])
    found, waiting = {}, [pid]
    while waiting:
        each = waiting.pop()
        found[each] = ticks.get(each, 0)
        waiting += parents.get(each, [])
    return found


def cpu(pid):
    return sum(family(pid).values()) / os.sysconf("SC_CLK_TCK")


def disk(folder):
    return sum(each.stat().st_size for each in Path(folder).rglob("*") if each.is_file())


def until(is_done, seconds, server):
    """Wait until it is so; an error of the network is that it is not yet."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            raise RuntimeError("the server ended")
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError, RuntimeError):
            if is_done():
                return
        time.sleep(0.2)
    raise RuntimeError(f"not done after {seconds} s")


def stop(server):
    """End the server and what it started; nothing else."""
    started = list(family(server.pid))
    server.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(15)
    for each in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    server.wait()


def timed(work):
    """The median of some rounds in milliseconds, and what the last one gave."""
    seconds, found = [], None
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - start)
    return round(sorted(seconds)[ROUNDS // 2] * 1000, 1), found


def total(bodies):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    return sum(
        len(scope.spans)
        for body in bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
    )


def run(measure) -> int:
    """Measure with the requests of the folder that the command line names, and print what was found as JSON."""
    bodies = [each.read_bytes() for each in sorted(Path(sys.argv[1]).glob("*.pb"))]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        try:
            found = measure(bodies, Path(folder), log)
        except (RuntimeError, OSError, KeyError) as error:
            log.seek(0)
            found = {"failed": str(error)[:300], "log": log.read()[-300:].decode("utf-8", "replace")}
    print(json.dumps(found))
    return 0
