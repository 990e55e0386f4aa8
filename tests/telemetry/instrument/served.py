"""A real server over a project's folder, and real programs that it traces."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TIDEMILL = str(Path(sys.executable).with_name("tidemill"))
_FENCE = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page, *marks):
    """The blocks of a guide whose fence has these words after the language."""
    text = (ROOT / "docs" / "guides" / page).read_text("utf-8")
    found = [(match["info"].split(), match["body"]) for match in _FENCE.finditer(text)]
    return [(info, body) for info, body in found if tuple(info[1 : 1 + len(marks)]) == marks]


def write_project(folder, page):
    """Make a project of a guide's blocks."""
    (folder / "tidemill").mkdir(parents=True)
    (folder / "tidemill.toml").touch()
    for info, body in blocks(page, "file"):
        (folder / info[2]).write_text(body, "utf-8")
    for number, (_, body) in enumerate(blocks(page, "project")):
        (folder / "tidemill" / f"{number}.yaml").write_text(body, "utf-8")


class Served:
    """A running server: `url`, `token`, and commands that talk to it."""

    def __init__(self, folder, ready, process):
        self.folder, self.url, self.process = folder, ready["url"], process
        self.token = Path(ready["token_file"]).read_text().strip()

    def run(self, *command, code=0, **environ):
        """Run a command in the folder; its standard output."""
        said = {"OPENAI_BASE_URL": f"{self.url}/v1", "OPENAI_API_KEY": self.token}
        ended = subprocess.run(
            command,
            cwd=self.folder,
            env=clean_environ() | said | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout

    def json(self, *words):
        return json.loads(self.run(TIDEMILL, *words, "--json"))


def clean_environ():
    return {name: value for name, value in os.environ.items() if not name.startswith(("TIDEMILL_", "OTEL_"))}


@contextlib.contextmanager
def serving(folder, *words, errors=None, **environ):
    """`tidemill up` over a project folder, until the end; it must leave with 0."""
    command = [TIDEMILL, "up", "--port", "0", "--otlp-grpc-port", "0", "--no-open", "--json", *words]
    with (
        contextlib.nullcontext() if errors is None else errors.open("w") as log,
        subprocess.Popen(
            command, cwd=folder, env=clean_environ() | environ, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            yield Served(folder, json.loads(process.stdout.readline()), process)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
