"""Small tools of measuring: medians, processes, and the one form in which results are printed."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def report(benchmark: str, what: str, *, ours: float, baseline: float, unit: str, baseline_is: str, **more: object) -> None:
    """Print one result as a JSON line; `ratio` is ours over the baseline's."""
    line = {
        "benchmark": benchmark,
        "what": what,
        "ours": round(ours, 4),
        "baseline": round(baseline, 4),
        "unit": unit,
        "ratio": round(ours / baseline, 3) if baseline else None,
        "baseline_is": baseline_is,
        **more,
    }
    print(json.dumps(line), flush=True)


def quantiles(seconds: Sequence[float]) -> tuple[float, float]:
    """The median and the 95th percentile, in milliseconds."""
    return statistics.median(seconds) * 1000, statistics.quantiles(seconds, n=20)[-1] * 1000


def one_thread() -> None:
    """Give every engine one thread, here and in child processes; before the first of them is imported."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))


def median_of(work: Callable[[], float], *, runs: int = 5) -> float:
    """The median of what `work` returns, after one run that is not counted."""
    work()
    return statistics.median(work() for _ in range(runs))


def wall_seconds(command: Sequence[str]) -> float:
    """How long a whole process takes."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def family_memory(pid: int) -> int:
    """Resident memory in bytes of a process and all its descendants, shared pages counted once each by share (PSS)."""
    total = 0
    for each in _family(pid):
        try:
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def family_cpu(pid: int) -> float:
    """CPU seconds that a process and its living descendants have used."""
    ticks = 0
    for each in _family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += parents.get(found[-1], [])
    return found


def python() -> str:
    """This interpreter."""
    return sys.executable
