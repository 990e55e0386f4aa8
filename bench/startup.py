"""Import and `--help` against the bare interpreter; time to ready and idle memory of `tidemill up`.

Bytecode is kept, as in an installed package, whatever the environment says; the first run
of each, which makes it, is not counted.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import family_memory, median_of, python, report, wall_seconds

IMPORT_BUDGET, HELP_BUDGET, READY_BUDGET, MEMORY_BUDGET = 0.100, 0.250, 3.0, 500e6
SETTLE_SECONDS = 8


def main() -> int:
    with tempfile.TemporaryDirectory() as bytecode:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode
        return _measure()


def _measure() -> int:
    command = str(Path(python()).with_name("tidemill"))
    bare = median_of(lambda: wall_seconds([python(), "-c", "pass"]), runs=9)
    imported = median_of(lambda: wall_seconds([python(), "-c", "import tidemill"]), runs=9)
    helped = median_of(lambda: wall_seconds([command, "--help"]), runs=9)
    report(
        "startup", "import tidemill", ours=imported, baseline=bare, unit="s", baseline_is="python -c pass", budget=bare + 0.1
    )
    report("startup", "tidemill --help", ours=helped, baseline=bare, unit="s", baseline_is="python -c pass", budget=bare + 0.25)
    if "--budget" in sys.argv:
        over = [
            f"{what} takes {took - bare:.3f} s more than the bare interpreter; the budget is {budget}"
            for what, took, budget in (("import tidemill", imported, IMPORT_BUDGET), ("tidemill --help", helped, HELP_BUDGET))
            if took - bare > budget
        ]
        print("\n".join(over) or "within the budget")
        return 1 if over else 0
    _server(command, bare)
    return 0


def _server(command: str, bare: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        readies = []
        for run in range(3):
            start = time.perf_counter()
            process = subprocess.Popen(
                [command, "up", "--port", "0", "--json", "--no-open", "--data", folder], stdout=subprocess.PIPE, text=True
            )
            assert process.stdout is not None
            json.loads(process.stdout.readline())
            readies.append(time.perf_counter() - start)
            if run == 2:
                time.sleep(SETTLE_SECONDS)
                memory = family_memory(process.pid)
                report("startup", "idle memory, all processes", ours=memory / 1e6, baseline=_bare_memory(), unit="MB",
                       baseline_is="python, idle", budget=MEMORY_BUDGET / 1e6)  # fmt: skip
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0, "SIGTERM must end it with 0"
        report("startup", "up to ready, warm", ours=min(readies[1:]), baseline=bare, unit="s", baseline_is="python -c pass",
               budget=READY_BUDGET)  # fmt: skip


def _bare_memory() -> float:
    process = subprocess.Popen([python(), "-c", "input()"], stdin=subprocess.PIPE)
    time.sleep(0.5)
    memory = family_memory(process.pid)
    process.communicate(b"\n")
    return memory / 1e6


if __name__ == "__main__":
    sys.exit(main())
