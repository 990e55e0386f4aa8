"""Record what an instrumentation really sends: run a library against the local `test` model and keep its OTLP.

    python scripts/record_traces.py strands --python /path/to/venv/bin/python

The venv has the library, its instrumentation and `opentelemetry-exporter-otlp-proto-http`. What it does is in
`scripts/recorded/NAME.py`: `SCRIPT` says how the model answers, `main()` runs. Nothing leaves the machine. Host names, users
and paths are taken out, and the recording is written to tests/telemetry/dialects/recorded/NAME.json, log records to
logs/NAME.json beside it; where `keep(bodies)`
makes another platform's export file of what was posted, to tests/telemetry/exports/recorded/NAME.json. Run it with the
project's own Python.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import http.server
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
_RECORDED = _HERE.parent / "tests" / "telemetry" / "dialects" / "recorded"
_EXPORTS = _HERE.parent / "tests" / "telemetry" / "exports" / "recorded"
_LOCAL_ATTRIBUTES = re.compile(r"(host|process|os|container)\.|service\.instance\.id|telemetry\.distro")
TIDEMILL = str(Path(sys.executable).parent / "tidemill")
_SECONDS = 300
_NAMES = {"spans": ("resourceSpans", "scopeSpans"), "logRecords": ("resourceLogs", "scopeLogs")}
_SCRUBBED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(/[\w.+-]+)+/site-packages/"), "site-packages/"),
    (re.compile(r"(/[\w.+-]+)+/lib/python3\.\d+/"), "python/"),
    (re.compile(r"(/[\w.+-]+)+/scripts/recorded/"), "app/"),
    (re.compile(r" at 0x[0-9a-f]+"), ""),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:8710"),
    (re.compile(r"tm_[a-z0-9]+_[A-Za-z0-9_-]+"), "tm_REDACTED"),
)


class Capture(http.server.ThreadingHTTPServer):
    """Takes whatever is posted: `bodies` holds (path, body) as they came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Capture  # pyright: ignore[reportIncompatibleVariableOverride]  (made by it alone)

    def do_POST(self) -> None:
        body = self._body()
        self.server.bodies.append((self.path, gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body))
        self._answer(b"" if "traces" in self.path else b"{}")

    def do_PATCH(self) -> None:
        self.do_POST()

    def do_GET(self) -> None:
        self._answer(b"{}")

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        pieces: list[bytes] = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json" if body else "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
        """Quiet."""


@contextmanager
def model_server(name: str, script: list[dict[str, Any]]) -> Generator[tuple[str, str]]:
    """`tidemill up` with `model/tide`, which answers by `script`, and `model/broken`, which refuses. Its address and token."""
    with tempfile.TemporaryDirectory(prefix="record-") as folder:
        place = Path(folder)
        documents = [
            {"kind": "model", "name": "tide", "provider": "test", "script": script},
            {"kind": "model", "name": "broken", "provider": "test", "script": [{"when": ".*", "status": 400}]},
        ]
        (place / "tidemill.toml").write_text(f'project = "{name.replace("_", "-")}"\n')
        (place / "tidemill").mkdir()
        (place / "tidemill" / "models.yaml").write_text("---\n".join(json.dumps(each) + "\n" for each in documents))
        command = [TIDEMILL, *("up", "--port", "0", "--otlp-grpc-port", "0", "--no-open", "--json")]
        with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            ready = json.loads(server.stdout.readline())
            token = Path(ready["token_file"]).read_text().strip()
            subprocess.run([TIDEMILL, "apply", "--yes"], cwd=place, check=True)
            yield ready["url"], token
            server.terminate()


def record(name: str, python: str) -> Path:
    """Run the library and write what it sent; the file written."""
    scenario = importlib.import_module(f"recorded.{name}")
    with Capture() as capture, model_server(name, scenario.SCRIPT) as (url, token):
        threading.Thread(target=capture.serve_forever, daemon=True).start()
        environment = os.environ | {
            "OPENAI_BASE_URL": f"{url}/v1",
            "OPENAI_API_BASE": f"{url}/v1",
            "OPENAI_API_KEY": token,
            "CAPTURE_URL": capture.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": capture.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_SERVICE_NAME": f"{name}-app",
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(_HERE),
            "X_TIDEMILL_PROJECT": name.replace("_", "-"),
        }
        code = f"import recorded.{name} as scenario; scenario.main()"
        done = subprocess.run([python, "-c", code], env=environment, timeout=_SECONDS, check=False, cwd=tempfile.gettempdir())
        capture.shutdown()
    if done.returncode:
        sys.exit(f"{name} ended with {done.returncode}")
    for path, body in capture.bodies:
        print(f"{path}: {len(body)} bytes")
    keep = getattr(scenario, "keep", None)
    if keep is not None:
        return write(_EXPORTS / f"{name}.json", scrubbed(keep(capture.bodies)))
    said = decoded_logs(body for path, body in capture.bodies if path.endswith("v1/logs"))
    if said["resourceLogs"]:
        write(_RECORDED / "logs" / f"{name}.json", said)
    sent = decoded(body for path, body in capture.bodies if path.endswith("v1/traces"))
    return write(_RECORDED / f"{name}.json", sent)


def decoded(bodies: Iterable[bytes]) -> dict[str, Any]:
    """Requests in protobuf as one in JSON, its ids in hexadecimal, without what only names this machine."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: PLC0415

    document = _joined(ExportTraceServiceRequest(), bodies, "resource_spans", "spans")
    for span in _records(document, "spans"):
        for key in ("traceId", "spanId", "parentSpanId"):
            _hex(span, key)
        for link in span.get("links", ()):
            for key in ("traceId", "spanId"):
                _hex(link, key)
        for event in span.get("events", ()):
            event["attributes"] = [each for each in event.get("attributes", ()) if each["key"] != "exception.stacktrace"]
    return scrubbed(document)


def decoded_logs(bodies: Iterable[bytes]) -> dict[str, Any]:
    """The same for log records, without the lines of code that wrote them."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: PLC0415

    document = _joined(ExportLogsServiceRequest(), bodies, "resource_logs", "logRecords")
    for record in _records(document, "logRecords"):
        for key in ("traceId", "spanId"):
            _hex(record, key)
        record["attributes"] = [each for each in record.get("attributes", ()) if not each["key"].startswith("code.")]
    return scrubbed(document)


def _joined(request: Any, bodies: Iterable[bytes], resources: str, records: str) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415  (only here)

    for body in bodies:
        request.MergeFromString(body)
    for of_resource in getattr(request, resources):
        kept = [each for each in of_resource.resource.attributes if not _LOCAL_ATTRIBUTES.match(each.key)]
        del of_resource.resource.attributes[:]
        of_resource.resource.attributes.extend(kept)
    return gathered(MessageToDict(request), records)


def gathered(document: dict[str, Any], records: str) -> dict[str, Any]:
    """The same `spans` or `logRecords`, those of one resource and scope together."""
    whole, scoped = _NAMES[records]
    resources: dict[str, dict[str, Any]] = {}
    for each in document.get(whole, ()):
        place = resources.setdefault(json.dumps(each["resource"]), {"resource": each["resource"], "scopes": {}})
        for one in each[scoped]:
            scope = place["scopes"].setdefault(json.dumps(one["scope"]), {"scope": one["scope"], records: []})
            scope[records] += one[records]
    return {whole: [{"resource": each["resource"], scoped: [*each["scopes"].values()]} for each in resources.values()]}


def _records(document: dict[str, Any], records: str) -> Iterator[dict[str, Any]]:
    whole, scoped = _NAMES[records]
    for of_resource in document.get(whole, ()):
        for of_scope in of_resource.get(scoped, ()):
            yield from of_scope.get(records, ())


def _hex(record: dict[str, Any], key: str) -> None:
    if record.get(key):
        record[key] = base64.b64decode(record[key]).hex()


def scrubbed(value: Any) -> Any:
    """Every text in it without paths, ports and keys of this machine."""
    if isinstance(value, dict):
        return {key: scrubbed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [scrubbed(each) for each in value]
    if isinstance(value, str):
        for pattern, replacement in _SCRUBBED:
            value = pattern.sub(replacement, value)
    return value


def write(file: Path, document: Any) -> Path:
    """The recording in its place, short enough to be read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    counts = {name: sum(1 for _ in _records(document, name)) for name in _NAMES} if isinstance(document, dict) else {}
    print(file.name, *(f"{count} {name}" for name, count in counts.items() if count))
    return file


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("name", help="a file of scripts/recorded/, without .py")
    arguments.add_argument("--python", default=sys.executable, help="the Python that has the library (default: this one)")
    chosen = arguments.parse_args()
    record(chosen.name, chosen.python)
