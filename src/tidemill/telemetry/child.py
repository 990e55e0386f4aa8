"""The span store's own process: `python -m tidemill.telemetry.child FOLDER PARENT_PID`.

It owns the folder, so that a crash of the engine, or its memory, is not the server's. It ends when its standard input ends or
its parent dies. A request is `{"id", "op": "insert"|"query"|"execute", "sql", "parameters", "table"}`, with rows as the body of
an insert; an answer has rows as its body, or `error` and `code` (ClickHouse's name of it) in its header. `channel.py` has the
form.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final, cast

import orjson

from tidemill.telemetry.channel import LENGTHS, decode_header, encode_message
from tidemill.telemetry.migrate import migrate
from tidemill.telemetry.schema import MIGRATIONS, TRACKING

_PR_SET_PDEATHSIG: Final = 1
_CODE: Final = re.compile(r"\(([A-Z][A-Z_0-9]{3,})\)")
_SETTINGS: Final = {
    "async_insert": "0",
    "input_format_skip_unknown_fields": "1",
    "max_execution_time": "30",
    "max_memory_usage": "1000000000",
    "max_threads": "1",
    "output_format_json_quote_64bit_integers": "0",
}


class _Engine:
    """The database, with a client for inserts and one for each query thread, so that no insert waits for a long query."""

    def __init__(self, folder: str) -> None:
        # The driver has no types and is a heavy import; it is used in this process only.
        import clickhouse_connect  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]

        self._connect: Callable[[], object] = lambda: clickhouse_connect.get_client(
            interface="chdb", path=folder, settings=_SETTINGS
        )
        self._local = threading.local()
        self.migrate()

    def migrate(self) -> None:
        """Bring the tables to this version's form."""
        migrate(MIGRATIONS, tracking=TRACKING, run=self.command, ask=self._ask)

    def command(self, sql: str, parameters: Mapping[str, object] | None = None) -> None:
        """Run a statement."""
        self._client.command(sql, parameters=dict(parameters or {}))  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]

    def insert(self, table: str, rows: bytes, *, is_block: bool) -> None:
        """Add rows, all or none."""
        self._client.raw_insert(table, insert_block=rows, fmt="Native" if is_block else "JSONEachRow")  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]

    def query(self, sql: str, parameters: Mapping[str, object]) -> bytes:
        """The result's rows, a JSON array a line."""
        answer = self._client.raw_query(sql, parameters=dict(parameters), fmt="JSONCompactEachRow")  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue, reportUnknownVariableType]
        return cast("bytes", answer)

    def _ask(self, sql: str) -> Sequence[Sequence[object]]:
        return [cast("list[object]", orjson.loads(line)) for line in self.query(sql, {}).splitlines()]

    @property
    def _client(self) -> object:
        if not hasattr(self._local, "client"):
            self._local.client = self._connect()
        return cast("object", self._local.client)


class _Server:
    """Reads requests until standard input ends; answers each when it is done."""

    def __init__(self, engine: _Engine, requests: BinaryIO, answers: BinaryIO) -> None:
        self._engine = engine
        self._requests = requests
        self._answers = answers
        self._lock = threading.Lock()

    def run(self) -> None:
        with ThreadPoolExecutor(1) as inserts, ThreadPoolExecutor(2) as queries:
            self._answer({"id": 0})
            while lengths := self._requests.read(LENGTHS.size):
                head, body = LENGTHS.unpack(lengths)
                header = decode_header(self._requests.read(head))
                pool = inserts if header["op"] == "insert" else queries
                pool.submit(self._serve, header, self._requests.read(body))

    def _serve(self, header: Mapping[str, object], body: bytes) -> None:
        try:
            answer = b""
            if header["op"] == "insert":
                self._engine.insert(str(header["table"]), body, is_block=bool(header["is_block"]))
            elif header["op"] == "execute":
                self._engine.command(str(header["sql"]), cast("Mapping[str, object]", header["parameters"]))
            else:
                answer = self._engine.query(str(header["sql"]), cast("Mapping[str, object]", header["parameters"]))
        except Exception as error:  # noqa: BLE001  (the driver's own classes; all of it is told to the server)
            found = _CODE.findall(str(error))
            self._answer({"id": header["id"], "error": str(error)[:2000], "code": found[-1] if found else ""})
        else:
            self._answer({"id": header["id"]}, answer)

    def _answer(self, header: Mapping[str, object], body: bytes = b"") -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._answers.write(encode_message(header, body))
            self._answers.flush()


def main(folder: str, parent: int) -> None:
    """Serve until the parent is gone."""
    _die_with(parent)
    # The engine may print; only answers may go where answers go.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends this process in order
    Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        engine = _Engine(folder)
    except Exception as error:  # noqa: BLE001  (as above)
        answers.write(encode_message({"id": 0, "error": str(error)[:2000]}))
        answers.flush()
        sys.exit(1)
    _Server(engine, sys.stdin.buffer, answers).run()
    answers.flush()
    os._exit(0)  # everything inserted is on disk; the engine's own shutdown has nothing to add


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before this was asked for
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
