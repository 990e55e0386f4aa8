"""A ClickHouse server as the span store, over its HTTP interface, with the same tables and the same SQL as the embedded engine.

Proven against an HTTP server that hands the SQL to chDB (`tests/telemetry/clickhouse_server.py`); a real server is unproven.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from urllib.parse import unquote, urlsplit

import orjson

from tidemill.core.errors import Invalid, MissingExtra, NotFound
from tidemill.telemetry.engine.migrate import migrate
from tidemill.telemetry.engine.protocol import EngineDied, Refused, code_of, is_installed, no_answer
from tidemill.telemetry.schema.spans import MIGRATIONS, TRACKING
from tidemill.telemetry.spool.frames import SPANS

VARIABLE: Final = "TIDEMILL_CLICKHOUSE"
_PORTS: Final = {"http": 8123, "https": 8443}
_SETTINGS: Final = {
    "async_insert": 0,
    "input_format_skip_unknown_fields": 1,
    "max_execution_time": 30,
    "optimize_on_insert": 0,
    "output_format_json_quote_64bit_integers": 0,
}
_CONNECT_SECONDS: Final = 10
_CALL_SECONDS: Final = 90
_T = TypeVar("_T")


def server_url(environ: Mapping[str, str]) -> str | None:
    """What the setting names, None without it: a URL, or `env:NAME` or `file:PATH` that hold one. Never shows what it read."""
    written = environ.get(VARIABLE, "").strip()
    if not written:
        return None
    if written.startswith("env:"):
        found = environ.get(written[4:])
    elif written.startswith("file:"):
        path = Path(written[5:])
        found = path.read_text("utf-8").strip() if path.is_file() else None
    else:
        return written
    if not found:
        raise NotFound(f"{written} holds no address of a ClickHouse server", hint=f"Write it there, or change {VARIABLE}.")
    return found


class RemoteEngine:
    """See `Engine`. `url` is `http[s]://[user[:password]@]host[:port]/[database]`; the database must be there.

    The tables are made, or brought up, with the first call. Raises `Invalid` for what is no such address.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise Invalid(
                f"{VARIABLE} is not the address of a ClickHouse server",
                hint="Write http://user:password@host:8123/database, or env:NAME or file:PATH that hold it.",
            )
        self.where = f"{parts.scheme}://{parts.hostname}:{port or _PORTS[parts.scheme]}"
        self._options: dict[str, Any] = {
            "interface": parts.scheme,
            "host": parts.hostname,
            "port": port or _PORTS[parts.scheme],
            "username": unquote(parts.username or "default"),
            "password": unquote(parts.password or ""),
            "database": parts.path.strip("/") or "default",
            "settings": _SETTINGS,
            "connect_timeout": _CONNECT_SECONDS,
            "send_receive_timeout": _CALL_SECONDS,
            "autogenerate_session_id": False,
        }
        self._opening = asyncio.Lock()
        self._client: Any = None
        self._inserts = ThreadPoolExecutor(1, "tidemill-clickhouse-insert")
        self._others = ThreadPoolExecutor(8, "tidemill-clickhouse")
        self._control = ThreadPoolExecutor(1, "tidemill-clickhouse-control")

    @property
    def pid(self) -> int | None:
        """None: it is no process of ours."""
        return None

    async def warm(self) -> None:
        """See `Engine`."""
        await self._open()

    async def insert(self, rows: bytes, *, table: str = SPANS, is_block: bool = False) -> None:
        """See `Engine`."""
        client = await self._open()
        form = "Native" if is_block else "JSONEachRow"
        await self._call(self._inserts, lambda: client.raw_insert(table, insert_block=rows, fmt=form))

    async def query(self, sql: str, parameters: Mapping[str, object]) -> Sequence[Sequence[object]]:
        """See `Engine`."""
        try:
            try:
                answer = await self._query(sql, parameters)
            except EngineDied:
                answer = await self._query(sql, parameters)
        except (EngineDied, Refused) as error:
            raise no_answer(error) from error
        return [cast("list[object]", orjson.loads(line)) for line in answer.splitlines()]

    async def execute(self, sql: str, parameters: Mapping[str, object]) -> None:
        """See `Engine`."""
        client = await self._open()
        settings = {"max_execution_time": 0}
        await self._call(self._others, lambda: client.command(sql, parameters=dict(parameters), settings=settings))

    async def close(self) -> None:
        """See `Engine`."""
        client, self._client = self._client, None
        for pool in (self._inserts, self._others, self._control):
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)
        if client is not None:
            client.close()

    async def _query(self, sql: str, parameters: Mapping[str, object]) -> bytes:
        client = await self._open()
        mark = f"tidemill {uuid.uuid4()}"
        ask = functools.partial(client.raw_query, sql, parameters=dict(parameters), fmt="JSONCompactEachRow")
        try:
            return await self._call(self._others, lambda: ask(settings={"log_comment": mark}))
        except asyncio.CancelledError:
            kill = "KILL QUERY WHERE Settings['log_comment'] = {mark:String} ASYNC"
            self._control.submit(_quietly, lambda: client.command(kill, parameters={"mark": mark}))
            raise

    async def _open(self) -> Any:
        if not is_installed():
            raise MissingExtra("analytics", needed_for="listing, showing and searching traces")
        async with self._opening:
            if self._client is None:
                self._client = await self._call(self._others, self._connect)
            return self._client

    def _connect(self) -> Any:
        import clickhouse_connect  # noqa: PLC0415  (heavy)  # pyright: ignore[reportMissingTypeStubs]

        client: Any = clickhouse_connect.get_client(**self._options)  # pyright: ignore[reportUnknownMemberType]

        def ask(sql: str) -> Sequence[Sequence[object]]:
            answer = cast("bytes", client.raw_query(sql, fmt="JSONCompactEachRow"))
            return [cast("list[object]", orjson.loads(line)) for line in answer.splitlines()]

        migrate(MIGRATIONS, tracking=TRACKING, run=lambda sql: client.command(sql, settings={"max_execution_time": 0}), ask=ask)
        return client

    async def _call(self, pool: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
        from clickhouse_connect.driver.exceptions import (  # noqa: PLC0415  (heavy)  # pyright: ignore[reportMissingTypeStubs]
            DatabaseError,
            Error,
            OperationalError,
        )

        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except OperationalError as error:
            raise EngineDied(f"{self.where} cannot be reached") from error
        except DatabaseError as error:
            raise Refused(str(error)[:2000], code_of(str(error))) from error
        except (Error, OSError) as error:
            raise EngineDied(f"{self.where}: {type(error).__name__}") from error


def _quietly(work: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):  # it ended meanwhile, or the server is gone
        work()
