"""What every span passes before anything of it is stored: the rules of its project, then the keeping apart of large values.

Most spans pass at once. One whose rules must be read again, take long, or that carries a large value waits for a thread of its
own, so that whoever finished it does not.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, cast

import anyio.to_thread
import orjson
from msgspec.structs import replace

from tidemill.core.errors import TidemillError, Unavailable
from tidemill.core.json import Json
from tidemill.core.records import SpanRecord
from tidemill.telemetry.privacy.payloads import FIELDS, LARGEST, LARGEST_INLINE, Field, Payloads, preview_of
from tidemill.telemetry.row import decode_value, encode_value
from tidemill.telemetry.rules.apply import EMPTY, Rules, without_anything
from tidemill.telemetry.sampling import Tail
from tidemill.telemetry.spool.frames import Rows

if TYPE_CHECKING:  # they bring the metadata database, which a program that only records does not need
    from tidemill.telemetry.privacy.marks import Marks
    from tidemill.telemetry.rules.book import RuleBook

_MOST_WAITING: Final = 4096
_MOST_LARGE: Final = 64
_DEEPEST: Final = 60
_DRAIN_SECONDS: Final = 60.0
_PERHAPS: Final = LARGEST_INLINE // 6  # characters: each is at most six bytes of JSON
_log = logging.getLogger("tidemill.telemetry")


class Gate:
    """Without a `book` no project has rules; without `payloads` large values stay in the row, which cuts them."""

    def __init__(self, *, book: RuleBook | None = None, payloads: Payloads | None = None, marks: Marks | None = None) -> None:
        self.dropped = 0
        self.sampled_out = 0
        self.marks = marks
        self.payloads = payloads
        self._book = book
        self._waiting: queue.Queue[tuple[SpanRecord, Callable[[SpanRecord], object]] | Future[None] | None] = queue.Queue()
        self._large = 0
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def put(self, record: SpanRecord, then: Callable[[SpanRecord], object]) -> None:
        """Hand the span on as it may be stored, now or soon. Never waits and never raises; from any thread."""
        rules = EMPTY if self._book is None else self._book.known(record.project)
        large = self.payloads is not None and _is_perhaps_large(record)
        if rules is not None and not rules.is_slow and not large:
            kept = rules.apply(record)
            self.sampled_out += kept is None
            if kept is not None:
                then(kept)
            return
        if self._waiting.qsize() >= _MOST_WAITING or (large and self._large >= _MOST_LARGE):
            self.dropped += 1
            return
        self._large += large
        self._start()
        self._waiting.put((record, then))

    async def pass_all(self, records: Sequence[SpanRecord]) -> Sequence[SpanRecord]:
        """The spans as they may be stored, with what was kept apart safe on disk. Raises `StorageFull` or `Unavailable`."""
        if not any(self._is_work(each) for each in records):
            return records
        return await anyio.to_thread.run_sync(lambda: [kept for each in records if (kept := self._passed(each)) is not None])

    async def rules(self, project: str, *, anew: bool = False) -> Rules:
        """A project's rules, as of half a second ago at most; `anew` as of now."""
        book = self._book
        if book is None:
            return EMPTY
        known = None if anew else book.known(project)
        return known or await anyio.to_thread.run_sync(lambda: book.load(project, anew=anew))

    async def screen(self, rows: Rows) -> Rows | None:
        """Rows on their way from the spool to the store, without what was erased; None when that is all of them."""
        return rows if self.marks is None else await self.marks.screen(rows)

    def tail_of(self, project: str) -> Tail | None:
        """How a project's whole traces are sampled, by its rules as they were read last. Never waits; from any thread."""
        rules = None if self._book is None else self._book.latest(project)
        return None if rules is None else rules.sampling.tail

    def latest(self, project: str) -> Rules:
        """A project's rules as they were read last. Never waits; from any thread."""
        return (None if self._book is None else self._book.latest(project)) or EMPTY

    async def clean_rows(self, project: str, rows: Sequence[bytes], *, part: str) -> Sequence[bytes]:
        """Rows of another table (JSON objects) with the rules for one part of a span applied to their pairs."""
        rules = await self.rules(project)
        return rows if rules.cleaner is None else await anyio.to_thread.run_sync(_cleaned, rows, rules, part)

    async def drained(self, *, timeout: float = _DRAIN_SECONDS) -> None:
        """Return when everything `put` so far was handed on. Raises `Unavailable` after `timeout` seconds."""
        if self._thread is None:
            return
        done: Future[None] = Future()
        self._waiting.put(done)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.wrap_future(done)
        except TimeoutError as error:
            raise Unavailable(
                f"spans are still being redacted after {timeout:.0f} s", hint="Try again soon, or use fewer detectors."
            ) from error

    def close(self) -> None:
        """Hand on what waits and stop."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _is_work(self, record: SpanRecord) -> bool:
        rules = EMPTY if self._book is None else self._book.known(record.project)
        return rules is None or not rules.changes_nothing or (self.payloads is not None and _is_perhaps_large(record))

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tidemill-gate", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            if isinstance(item, Future):
                if item.set_running_or_notify_cancel():
                    item.set_result(None)
                continue
            record, then = item
            self._large = max(0, self._large - _is_perhaps_large(record))
            try:
                kept = self._passed(record)
            except TidemillError as error:  # the disk or the database: nobody waits who could be told
                _log.warning("a span was stored without its content: %s", error)
                kept = without_anything(record)
            except Exception:  # noqa: BLE001  (without this thread every later span would wait for ever)
                _log.exception("a span was stored without its content")
                kept = without_anything(record)
            if kept is not None:
                self._hand_on(kept, then)

    def _hand_on(self, record: SpanRecord, then: Callable[[SpanRecord], object]) -> None:
        try:
            then(record)
        except Exception:  # noqa: BLE001  (the same)
            self.dropped += 1
            _log.exception("a span was lost")

    def _passed(self, record: SpanRecord) -> SpanRecord | None:
        rules = EMPTY if self._book is None else self._book.load(record.project)
        kept = rules.apply(record)
        self.sampled_out += kept is None
        if kept is None or self.payloads is None or not _is_perhaps_large(kept):
            return kept
        changes: dict[str, Any] = {}
        for field in FIELDS:
            changes |= self._apart(kept, field, self.payloads)
        return replace(kept, **changes) if changes else kept

    def _apart(self, record: SpanRecord, field: Field, payloads: Payloads) -> Mapping[str, str]:
        """Keep a large value apart; what then stands in the row."""
        value = cast("Json", getattr(record, field))
        text = encode_value(value, largest=LARGEST)
        content = text.encode("utf-8", "replace")
        if len(content) <= LARGEST_INLINE:
            return {}
        name = payloads.name(record.project, record.trace_id, record.span_id, field)
        payloads.put(record.project, name, content)
        return {field: preview_of(value, text, len(content)), f"{field}_at": name}


def _is_perhaps_large(record: SpanRecord) -> bool:
    """Whether an input or output could be beyond what a row holds; looked at only as far as it takes to tell."""
    return _reaches(record.input) or _reaches(record.output)


def _reaches(value: Json) -> bool:
    if value is None:
        return False
    return _left_after(value, _PERHAPS, 0) < 0


def _left_after(value: object, left: int, depth: int) -> int:
    """What is left of a length after a value; nothing is looked at any more once it is below 0."""
    kind = value.__class__
    if kind is str:
        return left - len(cast("str", value)) - 3
    if kind is dict or isinstance(value, Mapping):
        for key, each in cast("Mapping[object, object]", value).items():
            left = _left_after(each, left - len(str(key)) - 4, depth + 1) if depth < _DEEPEST else left
            if left < 0:
                break
        return left
    if kind is list or isinstance(value, Sequence | set | frozenset):
        if isinstance(value, str | bytes | bytearray):
            return left - (len(value) + 3 if isinstance(value, str) else 1024)
        for each in cast("Iterable[object]", value):
            left = _left_after(each, left, depth + 1) if depth < _DEEPEST else left
            if left < 0:
                break
        return left
    return left - (8 if isinstance(value, int | float) or value is None else 1024)  # what is no JSON is written as its text


def _hidden(pairs: Json, rules: Rules) -> Json:
    """Pairs, their values as JSON texts, with users hashed."""
    if not rules.hashes_users or not isinstance(pairs, Mapping):
        return pairs
    before = {key: decode_value(str(each)) for key, each in pairs.items()}
    after = cast("Mapping[str, Json]", rules.people(before))
    return {key: each if after[key] == before[key] else encode_value(after[key]) for key, each in pairs.items()}


def _cleaned(rows: Sequence[bytes], rules: Rules, part: str) -> Sequence[bytes]:
    cleaned: list[bytes] = []
    for row in rows:
        found = cast("dict[str, Json]", orjson.loads(row))
        for pairs in ("attributes", "resource"):
            if pairs in found:
                found[pairs] = rules.value(_hidden(found[pairs], rules), part) or {}
        cleaned.append(orjson.dumps(found))
    return cleaned
