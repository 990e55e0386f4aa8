"""A kill at every step of the spool: each write, sync, rename and removal, in the middle of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_a_kill_at_every_step_loses_and_doubles_nothing(tmp_path):
    program = Path(__file__).with_name("spool_steps.py")
    ended = subprocess.run((sys.executable, program, tmp_path), capture_output=True, text=True, check=False, timeout=110)
    assert ended.returncode == 0, ended.stderr
    steps = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(steps) > 20
    assert [each["code"] for each in steps] == [9] * (len(steps) - 1) + [0]
    for each in steps:
        found, said = each["found"], [int(batch) for batch in each["said"] if batch != "committed"]
        assert len(found) == len(set(found)), each
        first = min(found, default=0) if 4 in said else 0  # what was projected after the fifth batch may be gone
        expected = {batch * 10 + row for batch in said for row in range(3)}
        lost = {number for number in expected if number >= first} - set(found)
        assert not lost, each
        assert found == sorted(found)
