"""A job survives kill -9 of the process that does it, and goes on after its last finished step."""

import signal
import subprocess
import sys
from pathlib import Path

PROCESS = Path(__file__).with_name("steps_process.py")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", str(PROCESS), str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_when_halted(folder: Path, step: int) -> None:
    process = start(folder, str(step))
    assert process.stdout is not None
    assert process.stdout.readline() == "submitted\n"
    assert process.stdout.readline() == "halted\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_killed_job_resumes_after_its_last_finished_step(tmp_path):
    kill_when_halted(tmp_path, 2)
    kill_when_halted(tmp_path, 4)  # submitting the same id again is the same job
    output, errors = start(tmp_path).communicate(timeout=90)
    assert output == "done 6 {'said': 'tide', 'resumed_at': 4}\n", errors
    assert (tmp_path / "steps").read_text().split() == list("012345")


def test_a_job_that_was_killed_before_it_started_is_done_by_the_next_start(tmp_path):
    kill_when_halted(tmp_path, 0)
    output, errors = start(tmp_path).communicate(timeout=90)
    assert output == "done 6 {'said': 'tide', 'resumed_at': 0}\n", errors
