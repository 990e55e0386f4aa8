"""The tables of older versions are brought up, whatever was killed on the way."""

from __future__ import annotations

import signal
import subprocess
import sys

import orjson
import pytest

pytest.importorskip("chdb", reason="needs the extra analytics")
pytest.importorskip("clickhouse_connect", reason="needs the extra analytics")

# A store of the first form, as the version made it that released it; then what a store is that was brought up.
FORMS = r"""
import os, signal, sys
from tidemill.telemetry.engine import child
from tidemill.telemetry.schema import spans as schema
from tidemill.telemetry.engine.migrate import migrate

CURRENT = {"spans": schema.MIGRATIONS["spans"]}
child._Engine.migrate = lambda self: None
engine = child._Engine(sys.argv[1])
ID = "leftPad(lower(hex(number)), {}, '0')"

def make_old():
    for table in ("spans", "spans_wide", "migrations"):
        engine.command(f"DROP TABLE IF EXISTS {table}")
    engine.command(schema.TRACKING[0])
    engine.command(CURRENT["spans"][0])
    engine.command("INSERT INTO migrations VALUES (1)")
    engine.command(
        "INSERT INTO spans (project, trace_id, span_id, name, start, attributes)"
        f" SELECT 'p', {ID.format(32)}, {ID.format(16)}, concat('span ', toString(number)),"
        " fromUnixTimestamp64Nano(toInt64(179e16 + number)), concat('{\"n\": ', toString(number),"
        ' \', "s": "x\\\\n", "tidemill.first_token_ms": 2.5, "tidemill.variant": "b"}\') FROM numbers(100)'
    )

def bring_up(run):
    migrate(CURRENT, tracking=schema.TRACKING, run=run, ask=engine._ask)

def found():
    found = engine._ask(
        "SELECT count(), uniqExact(span_id), countIf(attributes['n'] = substring(name, 6)), countIf(variant = 'b'),"
        " countIf(first_token_ns = 2500000), countIf(attributes['s'] = '\"x\\\\n\"') FROM spans"
    )
    return [*found[0], engine._ask("EXISTS TABLE spans_wide")[0][0]]
"""
CUT_EVERYWHERE = (
    FORMS
    + """
class Cut(Exception): pass
for count in range(2, 40):
    make_old()
    left = count
    def run(sql):
        global left
        if left == 0:
            raise Cut
        left -= 1
        engine.command(sql)
    try:
        bring_up(run)
    except Cut:
        bring_up(engine.command)
        print(found())
    else:
        print("all", count)
        break
os._exit(0)
"""
)
KILLED = (
    FORMS
    + """
def run(sql):
    engine.command(sql)
    if sql.strip().startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2]:
    make_old()
bring_up(run if sys.argv[2] else engine.command)
print(found())
os._exit(0)
"""
)


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, timeout=90)


def test_an_old_store_cut_off_after_every_statement_loses_and_doubles_nothing(tmp_path):
    done = run(CUT_EVERYWHERE, str(tmp_path))
    assert done.returncode == 0, done.stderr
    *found, last = done.stdout.splitlines()
    assert last.startswith("all ")
    assert len(found) > 10
    assert [orjson.loads(each) for each in found] == [[100] * 6 + [0]] * len(found)


@pytest.mark.parametrize("statement", ["INSERT INTO spans_wide", "EXCHANGE"])
def test_an_old_store_killed_in_the_middle_is_brought_up(tmp_path, statement):
    assert run(KILLED, str(tmp_path), statement).returncode == -signal.SIGKILL
    done = run(KILLED, str(tmp_path), "")
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout) == [100] * 6 + [0]


def test_a_store_of_a_newer_version_is_left_alone(tmp_path):
    newer = (
        "bring_up(engine.command); engine.command(\"INSERT INTO migrations VALUES (99, 'spans')\"); bring_up(engine.command)"
    )
    assert "made by a newer Tidemill" in run(f"{FORMS}\n{newer}", str(tmp_path)).stderr
