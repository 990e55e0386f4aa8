"""Run benchmarks, each in a process of its own: `python -m bench [--table] [NAME …]`.

JSON lines go to stdout as they are measured, and a Markdown table of all to stderr at the end. With `--table` it is the table
that goes to stdout, and the lines to stderr.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from bench.measure import one_thread, python
from bench.table import markdown

NOT_BENCHMARKS = {
    "__init__", "__main__", "drift_streams", "gateway_load", "gateway_servers", "loopback", "measure", "parts", "spans_mlflow",
    "spans_phoenix", "synthetic", "table",
}  # fmt: skip
FIRST = ("startup", "gateway", "chain", "harness")
TIME_LIMIT_S = 480


def names() -> list[str]:
    """Every benchmark that there is, in the order in which they run."""
    found = {each.stem for each in Path(__file__).parent.glob("*.py")} - NOT_BENCHMARKS
    return [*(each for each in FIRST if each in found), *sorted(found - set(FIRST))]


def run(name: str, relay) -> tuple[list[dict[str, object]], bool]:
    """One benchmark's results, relayed as they come, and whether it ended well and in time."""
    command = [python(), "-m", f"bench.{name}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    limit = threading.Timer(TIME_LIMIT_S, os.killpg, (process.pid, signal.SIGKILL))
    limit.start()
    found = []
    try:
        for line in process.stdout:
            print(line, end="", file=relay, flush=True)
            if line.startswith("{"):
                found.append(json.loads(line))
        return found, process.wait() == 0
    finally:
        limit.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def main(arguments: list[str]) -> int:
    as_table = "--table" in arguments
    chosen = [each for each in arguments if each != "--table"] or names()
    unknown = [each for each in chosen if each not in names()]
    if unknown:
        print(f"there is no benchmark {unknown[0]!r}; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    one_thread()
    lines, failed = [], []
    for name in chosen:
        start = time.monotonic()
        found, is_well = run(name, sys.stderr if as_table else sys.stdout)
        lines += found
        failed += [] if is_well else [name]
        print(f"{name}: {time.monotonic() - start:.0f} s{'' if is_well else ', FAILED'}", file=sys.stderr)
    print(markdown(lines), file=sys.stdout if as_table else sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
