"""Keeping out what was erased: rows on their way to the store are held against the marks of erasures."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

import anyio.to_thread
import orjson

from tidemill.store.database import Database
from tidemill.store.project_keys import ProjectKeys
from tidemill.store.trace_erasures import PURPOSE, What, count_marks, erased_at, late_traces
from tidemill.telemetry.engine.native import decode_blocks
from tidemill.telemetry.rules.redact import keyed_hash
from tidemill.telemetry.spool.frames import Rows

_TIMES: Final = ("start", "at", "time")
_PEOPLE: Final[tuple[What, ...]] = ("user", "session")


class Marks:
    """The erasures of all projects. Where there are none, looking costs next to nothing."""

    def __init__(self, database: Database, keys: ProjectKeys) -> None:
        self._database = database
        self._keys = keys

    async def screen(self, rows: Rows) -> Rows | None:
        """The rows without those that were erased before; None when that is all of them."""
        if not await self._database.remember("trace erasures", count_marks):
            return rows
        return await anyio.to_thread.run_sync(self._screened, rows)

    def subject(self, project: str, value: str) -> str:
        """What stands for a user or a session in a mark."""
        return keyed_hash(value, self._keys.get(project, PURPOSE))

    def _screened(self, rows: Rows) -> Rows | None:
        lines = read_rows(rows)
        kept = [True] * len(lines)
        for project in {str(each.get("project", "")) for each in lines}:
            mine = [number for number, each in enumerate(lines) if each.get("project", "") == project]
            gone = self._gone(project, [lines[number] for number in mine])
            for number, is_gone in zip(mine, gone, strict=True):
                kept[number] = not is_gone
        if all(kept):
            return rows
        left = [orjson.dumps(each) for each, is_kept in zip(lines, kept, strict=True) if is_kept]
        return Rows(rows.table, is_block=False, content=b"\n".join(left)) if left else None

    def _gone(self, project: str, rows: Sequence[Mapping[str, Any]]) -> Sequence[bool]:
        """Which rows were erased. A trace that shows itself to be an erased person's is marked, for its spans still to come."""
        key = self._keys.get(project, PURPOSE)

        @functools.cache
        def subject(value: str) -> str:
            return keyed_hash(value, key)

        traces = {str(each["trace_id"]) for each in rows if each.get("trace_id")}
        people: dict[What, Collection[str]] = {
            what: {subject(str(each[what])) for each in rows if each.get(what)} for what in _PEOPLE
        }
        marks = self._database.read_sync(lambda db: erased_at(db, project, traces=traces, subjects=people))
        if not marks:
            return [False] * len(rows)
        late = {
            str(each["trace_id"]): marks[what, subject(str(each[what]))]
            for each in rows
            for what in _PEOPLE
            if each.get(what) and each.get("trace_id") and _is_before(each, marks.get((what, subject(str(each[what])))))
        }
        if late:
            self._database.write_sync(lambda db: late_traces(db, project, late))
        names = [str(each.get("trace_id", "")) for each in rows]
        erased = [max(marks.get(("trace", name), 0), late.get(name, 0)) for name in names]
        return [_is_before(each, at_ns) for each, at_ns in zip(rows, erased, strict=True)]


def read_rows(rows: Rows) -> Sequence[Mapping[str, Any]]:
    """Rows as objects, whatever form they are spooled in."""
    if rows.is_block:
        return cast("Sequence[Mapping[str, Any]]", decode_blocks(rows.content))
    return [cast("Mapping[str, Any]", orjson.loads(line)) for line in rows.content.split(b"\n") if line]


def _is_before(row: Mapping[str, Any], erased_ns: int | None) -> bool:
    """Whether a row is of something that began before it was erased; one that does not say when, is."""
    if not erased_ns:
        return False
    began = next((row[each] for each in _TIMES if isinstance(row.get(each), int)), 0)
    return int(began) < erased_ns
