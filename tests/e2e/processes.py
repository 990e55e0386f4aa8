"""The public doors: the command line as a process, the server behind its address. Nothing of Tidemill is imported."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

TIDEMILL = str(Path(sys.executable).with_name("tidemill"))
_START_SECONDS = 60
_CALL_SECONDS = 110
_EVERY_FLAG = "up --host 127.0.0.1 --port 0 --otlp-grpc-port 0 --no-open --json".split()


def environment(**more: str) -> dict[str, str]:
    """This process's environment, without what would steer a client elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    return kept | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"} | more


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self):
        assert self.code == 0, self
        return json.loads(self.out)

    def refused(self, code: int, *said: str, where: str = "") -> None:
        """Ended with `code` and one clear error that says all of `said`, and with no traceback."""
        assert "Traceback" not in self.err, self.err
        assert self.code == code, self
        errors = [line for line in self.err.splitlines() if line.startswith("error:")]
        assert len(errors) == 1, self.err
        assert errors[0].removeprefix("error:").strip(), self.err
        assert "own:" not in errors[0], self.err  # "an error of Tidemill's own" is never the user's to read
        assert len(self.err.strip().splitlines()) <= 7, self.err  # the line, its place, a hint
        for each in said:
            assert each in self.err, (each, self.err)
        if where:
            assert where in self.err, (where, self.err)


@dataclass(frozen=True)
class Shell:
    """Runs commands in one folder."""

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, **environ: str) -> Ended:
        ended = subprocess.run(
            (TIDEMILL, *arguments), cwd=self.folder, env=environment(**self.environ, **environ), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=_CALL_SECONDS,
        )  # fmt: skip
        return Ended(code=ended.returncode, out=ended.stdout, err=ended.stderr)

    def json(self, *arguments: str, **environ: str):
        """Run with `--json`; the document that it printed."""
        return self(*arguments, "--json", **environ).json

    def write(self, **files: str) -> None:
        """Write `tidemill/NAME.yaml`."""
        (self.folder / "tidemill").mkdir(exist_ok=True)
        for name, text in files.items():
            (self.folder / "tidemill" / f"{name}.yaml").write_text(text, "utf-8")


class Server:
    """`tidemill up`, ready."""

    def __init__(self, folder: Path, *, data: Path | None = None, workers: int = 1, **environ: str) -> None:
        self.folder = folder
        self.data = data or folder / ".tidemill"
        self.log = folder / "server.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                (TIDEMILL, *_EVERY_FLAG, "--workers", str(workers), "--data", str(self.data)),
                cwd=folder, env=environment(**environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self.ready = json.loads(self._first_line())
        self.url: str = self.ready["url"]
        self.token = Path(self.ready["token_file"]).read_text("ascii").strip()
        self.http = httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {self.token}"}, timeout=60, trust_env=False
        )
        self.api = "/api/v1/projects/default"

    def _first_line(self) -> bytes:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(_START_SECONDS) else b""
        if not line:
            self.kill()
            raise AssertionError(f"no ready line within {_START_SECONDS} s: {self.log.read_text()}")
        return line

    @property
    def shell(self) -> Shell:
        return Shell(self.folder, {"TIDEMILL_DATA": str(self.data)})

    def get(self, path: str, **params):
        """The JSON of a route below the project."""
        answer = self.http.get(self.api + path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body):
        answer = self.http.post(self.api + path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def wait_for_job(self, job: str, *, done: int | None = None):
        """Follow a job's events until it ends, or until `done` units are done."""
        with self.http.stream("GET", f"{self.api}/jobs/{job}/events") as events:
            last = None
            for line in events.iter_lines():
                if line.startswith("data: "):
                    last = json.loads(line.removeprefix("data: "))
                    if done is not None and (last["progress"]["done"] or 0) >= done:
                        return last
        return last

    def kill(self) -> None:
        """As a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        self._close()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._close()
        return code

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()
        with contextlib.suppress(AttributeError):
            self.http.close()


@contextlib.contextmanager
def served(folder: Path, **options) -> Iterator[Server]:
    """A server for a block; stopped after it, however the block ends."""
    server = Server(folder, **options)
    try:
        yield server
    finally:
        assert server.stop() == 0, server.log.read_text()
        assert "Traceback" not in server.log.read_text(), server.log.read_text()
