"""A user's program is checked against the package by pyright, strict: what the SDK answers is typed, and a slip is found."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("user_program.py")
SLIPS = {
    "client.evaluate('chain/x', dataset='d')": "dataset",
    "client.promote('chain/x')": "to",
    "client.artifacts()[0]['digset']": "digset",
    "client.run('chain/x', {})['output'].upper()": "upper",
    "client.iterate_artifacts()": "iterate_artifacts",
    "Client(retries='many')": "retries",
}


@pytest.mark.slow
def test_a_users_program_is_typed(tmp_path: Path) -> None:
    assert Path(str(find_spec("tidemill").origin)).with_name("py.typed").exists()
    (tmp_path / "program.py").write_text(PROGRAM.read_text("utf-8"), "utf-8")
    lines = ["from tidemill import Client", "client = Client()", *(f"print({each})" for each in SLIPS)]
    (tmp_path / "slips.py").write_text("\n".join(lines), "utf-8")
    settings = {"typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    command = (
        str(Path(sys.executable).with_name("pyright")),
        "--outputjson",
        "--pythonpath",
        sys.executable,
        "-p",
        str(tmp_path),
    )
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
    found = json.loads(ended.stdout)["generalDiagnostics"]
    assert [each for each in found if each["file"].endswith("program.py")] == []
    told = {each["range"]["start"]["line"] for each in found}
    assert told == set(range(2, 2 + len(SLIPS))), found
