"""The guide's program, as it stands there: the stock SDK, an address and a key."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from e2e.processes import environment

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "send-traces.md"
_PROGRAM = re.compile(r"^```python file app.py\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_program_of_the_guide(server, shell) -> None:
    match = _PROGRAM.search(GUIDE.read_text("utf-8"))
    assert match is not None
    (server.folder / "app.py").write_text(match[1], "utf-8")
    key = shell.json("keys", "create", "--may", "ingest")["key"]
    said = environment(
        OTEL_EXPORTER_OTLP_ENDPOINT=server.url, OTEL_EXPORTER_OTLP_HEADERS=f"x-api-key={key}", OTEL_SERVICE_NAME="shop"
    )
    ended = subprocess.run(
        (sys.executable, "app.py"), cwd=server.folder, env=said, capture_output=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    (found,) = shell.json("traces", "list")["items"]
    assert found["name"] == "answer"
    assert found["usage"]["input_tokens"] == 12
    assert found["usage"]["output_tokens"] == 5
