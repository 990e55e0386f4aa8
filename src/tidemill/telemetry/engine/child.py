"""The span store's own process: `python -m tidemill.telemetry.engine.child FOLDER PARENT_PID`.

It owns the folder, so that a crash of the engine, or its memory, is not the server's. It ends when its standard input ends or
its parent dies. A request is `{"id", "op", "sql", "parameters", "table", "is_block"}`; `op` is `insert` (the body is rows),
`query`, `execute`, `ping`, or `cancel` with `of`, the id of what to stop, which is not answered itself. An answer has rows as
its body, or `error` and `code` (ClickHouse's name of it) in its header. `channel.py` has the form. Until it can serve it says
`busy` now and then, and last `{"id": 0}`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final, cast

import orjson

from tidemill.telemetry.engine.channel import LENGTHS, decode_header, encode_message
from tidemill.telemetry.engine.migrate import migrate
from tidemill.telemetry.engine.protocol import code_of
from tidemill.telemetry.engine.putting_back import RESTORE, put_back
from tidemill.telemetry.schema.spans import MIGRATIONS, TRACKING

_PR_SET_PDEATHSIG: Final = 1
_SETTINGS: Final = {
    "async_insert": "0",
    "input_format_skip_unknown_fields": "1",
    "max_execution_time": "30",
    "max_memory_usage": "1000000000",
    "max_threads": "1",
    "optimize_on_insert": "0",  # a span that is twice in one insert goes with the merges, as one in two does
    "output_format_json_quote_64bit_integers": "0",
}
_UNHURRIED: Final = {"max_execution_time": "0"}
_BUSY_SECONDS: Final = 5.0
_HELD_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05
_QUERIES: Final = 8  # at once; each has one thread of the engine


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
        if (restore := Path(folder).with_name(RESTORE)).is_dir():
            put_back(restore, run=self.command, ask=self._ask)

    def migrate(self) -> None:
        """Bring the tables to this version's form."""
        migrate(MIGRATIONS, tracking=TRACKING, run=self.command, ask=self._ask)

    def command(self, sql: str, parameters: Mapping[str, object] | None = None, *, mark: str = "") -> None:
        """Run a statement, however long it takes."""
        self._client.command(sql, parameters=dict(parameters or {}), settings={**_UNHURRIED, "log_comment": mark})  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]

    def insert(self, table: str, rows: bytes, *, is_block: bool) -> None:
        """Add rows, all or none."""
        self._client.raw_insert(table, insert_block=rows, fmt="Native" if is_block else "JSONEachRow")  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]

    def kill(self, mark: str) -> None:
        """Stop what was asked with this mark."""
        self.command("KILL QUERY WHERE Settings['log_comment'] = {mark:String} ASYNC", {"mark": mark})

    def query(self, sql: str, parameters: Mapping[str, object], *, mark: str = "") -> bytes:
        """The result's rows, a JSON array a line. `sql` is a SELECT without settings of its own.

        The mark is a setting within it: given apart, the driver would save and restore all settings, in four times as long.
        """
        marked = f"{sql} SETTINGS log_comment = '{mark}'"
        answer = self._client.raw_query(marked, parameters=dict(parameters), fmt="JSONCompactEachRow")  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue, reportUnknownVariableType]
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
        self._underway: dict[int, Future[None]] = {}

    def run(self) -> None:
        # Pools of their own, so that neither an insert nor a cancel waits for a query, nor a query for a long statement.
        with (
            ThreadPoolExecutor(1) as inserts,
            ThreadPoolExecutor(_QUERIES) as queries,
            ThreadPoolExecutor(2) as statements,
            ThreadPoolExecutor(1) as control,
        ):
            pools = {"insert": inserts, "query": queries, "execute": statements}
            self._answer({"id": 0})
            while lengths := self._requests.read(LENGTHS.size):
                head, body = LENGTHS.unpack(lengths)
                header = decode_header(self._requests.read(head))
                rows = self._requests.read(body)
                if header["op"] == "ping":
                    self._answer({"id": header["id"]})
                elif header["op"] == "cancel":
                    control.submit(self._cancel, cast("int", header["of"]))
                else:
                    number = cast("int", header["id"])
                    task = self._underway[number] = pools[str(header["op"])].submit(self._serve, header, rows)
                    task.add_done_callback(lambda _, number=number: self._underway.pop(number, None))

    def _cancel(self, number: int) -> None:
        task = self._underway.get(number)
        if task is not None and not task.cancel():
            with contextlib.suppress(Exception):  # it ended meanwhile
                self._engine.kill(_mark(number))

    def _serve(self, header: Mapping[str, object], body: bytes) -> None:
        number = cast("int", header["id"])
        try:
            answer = self._do(header, body)
        except Exception as error:  # noqa: BLE001  (the driver's own classes; all of it is told to the server)
            self._answer({"id": number, "error": str(error)[:2000], "code": code_of(str(error))})
        else:
            self._answer({"id": number}, answer)

    def _do(self, header: Mapping[str, object], body: bytes) -> bytes:
        if header["op"] == "insert":
            self._engine.insert(str(header["table"]), body, is_block=bool(header["is_block"]))
            return b""
        parameters = cast("Mapping[str, object]", header["parameters"])
        sql, mark = str(header["sql"]), _mark(cast("int", header["id"]))
        if header["op"] == "execute":
            self._engine.command(sql, parameters, mark=mark)
            return b""
        return self._engine.query(sql, parameters, mark=mark)

    def _answer(self, header: Mapping[str, object], body: bytes = b"") -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._answers.write(encode_message(header, body))
            self._answers.flush()


def main(folder: str, parent: int) -> None:
    """Serve until the parent is gone."""
    _die_with(parent)
    # The engine may print; only answers may go where answers go. And an insert reads what there is on standard input.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "rb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends this process in order
    Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        with _saying_busy(answers):
            _hold(Path(folder))
            _own_scratch(Path(folder).with_suffix(".scratch"))
            engine = _Engine(folder)
    except Exception as error:  # noqa: BLE001  (as above)
        answers.write(encode_message({"id": 0, "error": str(error)[:2000]}))
        answers.flush()
        sys.exit(1)
    _Server(engine, requests, answers).run()
    answers.flush()
    os._exit(0)  # everything inserted is on disk; the engine's own shutdown has nothing to add


def _hold(folder: Path) -> None:
    """Take the folder for this process until it ends; one that was killed just now may hold it for a moment yet."""
    lock = os.open(folder.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + _HELD_SECONDS
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() >= until:
            raise RuntimeError(f"another process uses {folder}; stop the other server, or give this one a folder of its own")
        time.sleep(_POLL_SECONDS)


def _own_scratch(folder: Path) -> None:
    """Where the driver puts the rows of an insert for a moment; what a kill left there goes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tempfile.tempdir = str(folder)


def _mark(number: int) -> str:
    return f"tidemill {number}"


@contextlib.contextmanager
def _saying_busy(answers: BinaryIO) -> Generator[None]:
    """Say now and then that the tables are being brought up."""
    over = threading.Event()

    def say() -> None:
        while not over.wait(_BUSY_SECONDS):
            answers.write(encode_message({"id": 0, "busy": True}))
            answers.flush()

    speaker = threading.Thread(target=say, daemon=True)
    speaker.start()
    try:
        yield
    finally:
        over.set()
        speaker.join()


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before this was asked for
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
