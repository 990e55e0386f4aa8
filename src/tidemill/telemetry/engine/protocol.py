"""What the span store is asked through: one Protocol and one SQL, whether the engine is embedded or a server elsewhere.

`embedded.py` keeps chDB in a process of its own; `clickhouse.py` talks to a ClickHouse server. `tidemill.testing.telemetry` has
the kit that both pass.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, runtime_checkable

from tidemill.core.errors import Unavailable
from tidemill.telemetry.spool.frames import SPANS

_CODE: Final = re.compile(r"\(([A-Z][A-Z_0-9]{3,})\)")
_MODULES: Final = ("chdb", "clickhouse_connect", "pyarrow")


class EngineDied(Exception):
    """It did not answer: the process ended or hung, or the server cannot be reached.

    What was asked may have been done or not: ask again.
    """


class Refused(Exception):
    """The engine answered that it will not; `code` is ClickHouse's name for why."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@runtime_checkable
class Engine(Protocol):
    """Holds the tables of `schema.py`. Used from one event loop. A call that is cancelled stops what it asked for."""

    @property
    def pid(self) -> int | None:
        """The process id of the engine, where it is a process of ours and runs."""
        ...

    async def warm(self) -> None:
        """Be ready for a quick first answer. Raises `EngineDied`, `MissingExtra` or `Unavailable`."""
        ...

    async def insert(self, rows: bytes, *, table: str = SPANS, is_block: bool = False) -> None:
        """Add rows (a line of JSON each, or blocks of `native.py`), all or none; on disk when it returns.

        Raises `EngineDied` or `Refused`.
        """
        ...

    async def query(self, sql: str, parameters: Mapping[str, object]) -> Sequence[Sequence[object]]:
        """The rows of a query; asked a second time when the engine died meanwhile. Raises `Unavailable`, in bounded time."""
        ...

    async def execute(self, sql: str, parameters: Mapping[str, object]) -> None:
        """Run a statement that answers nothing: rows made of rows, or deleted. Once; raises `EngineDied` or `Refused`."""
        ...

    async def close(self) -> None:
        """Let go of it, after what it does at the moment."""
        ...


def is_installed() -> bool:
    """Whether the extra that brings the engine is there. Nothing is imported."""
    try:
        return all(importlib.util.find_spec(name) is not None for name in _MODULES)
    except (ImportError, ValueError):
        return False


def code_of(message: str) -> str:
    """ClickHouse's name of an error, out of its message; empty when there is none."""
    found = _CODE.findall(message)
    return found[-1] if found else ""


def no_answer(error: EngineDied | Refused) -> Unavailable:
    """What whoever asked is told."""
    if isinstance(error, Refused) and error.code == "TIMEOUT_EXCEEDED":
        return Unavailable("the question took too long", hint="Narrow it: name a shorter time, or fewer spans.")
    return Unavailable(f"the span store did not answer: {error}", hint="Narrow the search, or try again.")
