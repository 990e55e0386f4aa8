"""Which traces are kept when not all are, and how many each of them then stands for. Pure.

Head: by the trace's id alone, the same in every process and at every retry. Tail: by what happened in it, once it is whole.
A kept trace has the weight 1 / p, where p is the probability with which it was kept, so that weighted counts and sums are
unbiased (Horvitz and Thompson, "A generalization of sampling without replacement from a finite universe", 1952). The two
decisions are by independent hashes of the id, and their weights multiply. What the sender sampled itself is read from
`tracestate` (https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, cast

from msgspec.structs import replace

from tidemill.core.durations import parse_duration
from tidemill.core.errors import Invalid
from tidemill.core.records import SpanRecord
from tidemill.core.suggest import did_you_mean

_HEAD: Final = b"head"
_TAIL: Final = b"tail"
_THRESHOLD: Final = re.compile(r"(?:^|;)th:([0-9a-f]{1,14})(?:;|$)")
_POWER: Final = re.compile(r"(?:^|;)p:([0-9]{1,2})(?:;|$)")
_WHOLE: Final = 1 << 56
_NEVER: Final = 63  # the power by which a sender says that it would never have been sampled
_BILLED: Final = frozenset({"llm", "embedding", "reranker"})
_LONGEST_WAIT: Final = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Tail:
    """What is kept for certain, and the share (above 0, at most 1) of the rest.

    A trace is looked at `wait_seconds` after its first span came.
    """

    share: float
    errors: bool = True
    slower_than_ns: int | None = None
    dearer_than: float | None = None
    feedback: bool = True
    wait_seconds: float = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """The rules of a project. `head` is the share (above 0, at most 1) of traces of which anything is looked at."""

    head: float = 1.0
    tail: Tail | None = None

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is left out at the head."""
        return self.head >= 1


ALL: Final = Sampling()


def read_sampling(spec: Mapping[str, object] | None) -> Sampling:
    """The rules as a document says them. Raises `ValueError` that says what is wrong.

    `{head: 0.5, tail: {share: 0.1, errors: true, slower_than: 2s, dearer_than: 0.05, feedback: true, wait: 10s}}`.
    """
    if not spec:
        return ALL
    _check_keys(spec, ("head", "tail"), "sampling")
    tail = spec.get("tail")
    if tail is None:
        return Sampling(head=_share(spec.get("head", 1.0), "head"))
    if not isinstance(tail, Mapping):
        raise ValueError("tail is not a table. Write tail: {share: 0.1}")  # noqa: TRY004  (pydantic reads ValueError)
    return Sampling(head=_share(spec.get("head", 1.0), "head"), tail=_read_tail(cast("Mapping[str, object]", tail)))


def _read_tail(tail: Mapping[str, object]) -> Tail:
    _check_keys(tail, ("share", "errors", "slower_than", "dearer_than", "feedback", "wait"), "tail")
    slower = None if tail.get("slower_than") is None else round(_seconds(tail["slower_than"], "slower_than") * 1e9)
    dearer = tail.get("dearer_than")
    if dearer is not None and (isinstance(dearer, bool) or not isinstance(dearer, int | float) or dearer < 0):
        raise ValueError(f"dearer_than is {dearer!r}. Write US dollars, as in 0.05")
    wait = _seconds(tail.get("wait", "10s"), "wait")
    if wait > _LONGEST_WAIT:
        raise ValueError(f"wait is {tail['wait']!r}, and the longest is 10m")
    return Tail(
        share=_share(tail.get("share", 1.0), "share"),
        errors=_flag(tail, "errors"),
        slower_than_ns=slower,
        dearer_than=None if dearer is None else float(dearer),
        feedback=_flag(tail, "feedback"),
        wait_seconds=wait,
    )


def sample_head(record: SpanRecord, share: float) -> SpanRecord | None:
    """The span with its weight, or None when its trace is not among the share."""
    if share >= 1:
        return record
    return replace(record, weight=record.weight / share) if is_among(record.trace_id, share, salt=_HEAD) else None


def is_among(trace_id: str, share: float, *, salt: bytes) -> bool:
    """Whether a trace is among a share of all of them; the same for every share that is larger."""
    digest = blake2b(trace_id.encode(), digest_size=8, key=salt).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


def sender_weight(trace_state: str) -> float:
    """How many spans one stands for by its sender's own sampling; 1 when it says nothing, or nothing that can be."""
    said = next((each.strip()[3:] for each in trace_state.split(",") if each.strip().startswith("ot=")), "")
    if not said:
        return 1.0
    if found := _THRESHOLD.search(said):
        threshold = int(found[1].ljust(14, "0"), 16)
        return _WHOLE / (_WHOLE - threshold)
    if found := _POWER.search(said):
        power = int(found[1])
        return 2.0**power if power < _NEVER else 1.0
    return 1.0


@dataclass(slots=True)
class Seen:
    """What is known of a trace so far. Its length is its root's, or from the first start to the last end without one."""

    start_ns: int = 1 << 62
    end_ns: int = 0
    root_ns: int = 0
    has_error: bool = False
    cost: float = 0.0
    has_feedback: bool = False

    def add(self, record: SpanRecord) -> None:
        """One more of its spans."""
        self.start_ns, self.end_ns = min(self.start_ns, record.start_ns), max(self.end_ns, record.end_ns)
        if record.parent_id is None:
            self.root_ns = max(self.root_ns, record.end_ns - record.start_ns)
        self.has_error |= record.status == "error"
        if record.cost is not None and record.kind in _BILLED:
            self.cost += record.cost

    @property
    def length_ns(self) -> int:
        """How long it took."""
        return self.root_ns or max(0, self.end_ns - self.start_ns)


def decide(trace_id: str, seen: Seen, tail: Tail) -> float:
    """The weight of a trace that is kept, 0 for one that is not."""
    certain = (
        (tail.errors and seen.has_error)
        or (tail.feedback and seen.has_feedback)
        or (tail.slower_than_ns is not None and seen.length_ns > tail.slower_than_ns)
        or (tail.dearer_than is not None and seen.cost > tail.dearer_than)
    )
    if certain or tail.share >= 1:
        return 1.0
    return 1.0 / tail.share if is_among(trace_id, tail.share, salt=_TAIL) else 0.0


def _check_keys(given: Mapping[str, object], known: tuple[str, ...], what: str) -> None:
    odd = [key for key in given if key not in known]
    if odd:
        raise ValueError(f"{what} has no {odd[0]!r}. {did_you_mean(str(odd[0]), known)} There are {', '.join(known)}")


def _share(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError(f"{name} is {value!r}. Write a share above 0 and at most 1, as in 0.1")
    return float(value)


def _flag(tail: Mapping[str, object], name: str) -> bool:
    value = tail.get(name, True)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}. Write true or false")  # noqa: TRY004  (the same)
    return value


def _seconds(value: object, name: str) -> float:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}. Write a length of time, as in 2s")  # noqa: TRY004  (the same)
    try:
        return parse_duration(value, what=name)
    except Invalid as error:
        raise ValueError(f"{error.message}. {error.hint}") from error
