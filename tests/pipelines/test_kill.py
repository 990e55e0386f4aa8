"""A run survives kill -9 of the process that carries it: finished steps never run twice, the interrupted one runs again."""

import signal
import subprocess
import sys
from pathlib import Path

PROCESS = Path(__file__).with_name("run_process.py")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", str(PROCESS), str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_when_halted(folder: Path, step: str) -> None:
    process = start(folder, step)
    assert process.stdout is not None
    assert process.stdout.readline() == "halted\n", process.communicate()[1]
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_killed_run_goes_on_at_its_first_unfinished_step(tmp_path):
    kill_when_halted(tmp_path, "two")
    kill_when_halted(tmp_path, "three")
    output, errors = start(tmp_path).communicate(timeout=60)
    assert output == "done one:done:1 side:done:1 two:done:1 three:done:1\n", errors
    assert sorted((tmp_path / "finished").read_text().split()) == ["one", "side", "three", "two"]
    began = (tmp_path / "began").read_text().split()
    assert {each: began.count(each) for each in began} == {"one": 1, "side": 1, "two": 2, "three": 2}
