from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import asyncio, sys
from importlib.abc import MetaPathFinder
from pathlib import Path

class Blocker(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {"chdb", "clickhouse_connect", "pyarrow"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Blocker())
sys.path.insert(0, %r)
from telemetry.spans import make_span
from tidemill.core.errors import MissingExtra
from tidemill.telemetry.store import Telemetry

async def main():
    async with Telemetry(Path(%r)) as telemetry:
        telemetry.sink(make_span(0))
        await telemetry.flush()
        for question in (telemetry.list_traces("p"), telemetry.get_trace("p", "00"), telemetry.search_spans("p", "x")):
            try:
                await question
            except MissingExtra as error:
                print(error, "|", error.hint)

asyncio.run(main())
"""


def test_without_the_extra_spans_stay_spooled_and_questions_say_what_to_type(tmp_path):
    script = SCRIPT % (str(Path(__file__).parents[1]), str(tmp_path))
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    lines = ran.stdout.splitlines()
    assert len(lines) == 3
    assert all("pip install 'tidemill[analytics]'" in line for line in lines)
    (segment,) = (tmp_path / "spool").glob("*.spool")
    assert b"span 0" in segment.read_bytes()


def test_importing_the_store_loads_nothing_heavy():
    code = (
        "import sys, tidemill.telemetry.store;"
        "print([n for n in ('chdb', 'clickhouse_connect', 'pyarrow', 'numpy', 'sqlalchemy') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
