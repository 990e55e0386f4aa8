"""Samples out of traces and of what was said of them: a correction or a praised output is the reference. Pure.

One sample an input: traces that asked the same are joined, and the newest correction wins, then the newest thumbs up. With
pairs, a sample is a preference: what was corrected under a thumbs down is rejected, the correction chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, cast

from tidemill.core.digests import canonical
from tidemill.core.json import Json, JsonObject, dump_json
from tidemill.core.rows import encode_value
from tidemill.data.alike import same_words, words_of
from tidemill.data.specs import RolesSpec
from tidemill.store.feedback import Feedback

PAIR_COLUMNS: Final = ("prompt", "chosen", "rejected")
_LINKS: Final = ("trace", "release", "traces", "feedback")
Source: TypeAlias = Literal["correction", "thumbs", "none"]
_RANK: Final[Mapping[Source, int]] = {"none": 0, "thumbs": 1, "correction": 2}


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Where a sample's parts go. `inputs` are the columns of its input; one alone takes whatever the trace asked."""

    inputs: tuple[str, ...]
    reference: str = "reference"
    id: str | None = None

    @classmethod
    def of(cls, roles: Mapping[str, str | Sequence[str]]) -> Shape:
        """The shape of a dataset that is there, by its roles."""
        inputs, reference, name = roles["input"], roles.get("reference"), roles.get("id")
        return cls(
            inputs=(inputs,) if isinstance(inputs, str) else tuple(inputs),
            reference=reference if isinstance(reference, str) else "reference",
            id=name if isinstance(name, str) else None,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opinion:
    """What people say of one output: what it should have been, or that it was good, and when."""

    source: Source
    reference: str | None
    is_down: bool
    at_ns: int
    ids: tuple[str, ...]


@dataclass(kw_only=True, slots=True)
class _Entry:
    """A sample in the making: its input, the trace that speaks for it, and all that asked the same."""

    input: Json
    opinion: _Opinion
    trace: str
    release: str
    output: str
    traces: list[str]
    feedback: list[str]


def right_answer(said: Sequence[Feedback]) -> str | None:
    """What people say the answer should have been: the newest correction of the whole trace; None when there is none."""
    opinion = _opinion(said, "")
    return opinion.reference if opinion.source == "correction" else None


@dataclass(kw_only=True, slots=True)
class Gathering:
    """Takes traces, newest first, and keeps one sample an input.

    Without a `shape` the first trace decides it. `pairs` keeps preferences only, `labelled` only what has a reference. What
    asks the same as one of `apart` (by `same_words`) is left out, so that a model is not judged on what it was taught.
    `skipped` says why traces were left out, and how many; `joined` how many asked what another had asked.
    """

    shape: Shape | None = None
    pairs: bool = False
    labelled: bool = False
    apart: frozenset[str] = frozenset()
    traces: int = 0
    joined: int = 0
    skipped: Counter[str] = field(default_factory=Counter[str])
    _entries: dict[bytes, _Entry] = field(default_factory=dict[bytes, _Entry])

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, trace: JsonObject, said: Sequence[Feedback]) -> None:
        """Take one trace (its summary) and what was said of it as a whole, in any order."""
        self.traces += 1
        value = _question(trace.get("input"))
        if isinstance(value, _Left):
            self.skipped[value.why] += 1
            return
        fitted = self._fit(value)
        if isinstance(fitted, _Left):
            self.skipped[fitted.why] += 1
            return
        if self.apart and same_words(words_of(fitted)) in self.apart:
            self.skipped["it stands in a dataset that is kept apart"] += 1
            return
        output = _text(trace.get("output")) if trace.get("status") != "error" else ""
        opinion = _opinion(said, output)
        left = self._needs(opinion, output)
        if left is not None:
            self.skipped[left] += 1
            return
        self._join(fitted, trace, output, opinion)

    def leave_out(self, why: str) -> None:
        """Count a trace that cannot be read."""
        self.traces += 1
        self.skipped[why] += 1

    def rows(self) -> list[JsonObject]:
        """The samples as rows, newest first."""
        return [self._row(each) for each in self._entries.values()]

    def roles(self) -> RolesSpec:
        """The roles of a dataset that is made of these rows."""
        if self.pairs:
            return RolesSpec(input="prompt", reference="chosen", id="id")
        shape = self.shape or Shape(inputs=("input",))
        inputs = shape.inputs[0] if len(shape.inputs) == 1 else list(shape.inputs)
        return RolesSpec(input=inputs, reference=shape.reference, id=shape.id)

    def _fit(self, value: Json) -> Json | _Left:
        """The input as the shape wants it: one value, or an object of exactly its columns."""
        if self.pairs:
            return _only_text(value)
        if self.shape is None:
            self.shape = _shape_for(value)
        names = self.shape.inputs
        if len(names) == 1:
            return _single(value, names[0])
        if not isinstance(value, Mapping) or any(value.get(name) is None for name in names):
            return _Left(f"the input does not have {', '.join(names)}")
        return {name: value[name] for name in names}

    def _needs(self, opinion: _Opinion, output: str) -> str | None:
        if self.pairs:
            if opinion.source != "correction" or not opinion.is_down:
                return "no thumbs down with a correction"
            if not output.strip():
                return "no output to reject"
            return "the correction is what was answered" if opinion.reference == output else None
        return "no reference: neither corrected nor praised" if self.labelled and opinion.source == "none" else None

    def _join(self, value: Json, trace: JsonObject, output: str, opinion: _Opinion) -> None:
        name, release = str(trace["id"]), str(trace.get("release") or "")
        entry = _Entry(
            input=value, opinion=opinion, trace=name, release=release, output=output, traces=[name], feedback=[*opinion.ids]
        )
        key = key_of(value)
        before = self._entries.get(key)
        if before is None:
            self._entries[key] = entry
            return
        self.joined += 1
        best = max((before, entry), key=lambda each: (_RANK[each.opinion.source], each.opinion.at_ns))
        best.traces = list(dict.fromkeys([*before.traces, *entry.traces]))
        best.feedback = list(dict.fromkeys([*before.feedback, *entry.feedback]))
        self._entries[key] = best

    def _row(self, entry: _Entry) -> JsonObject:
        links: dict[str, Json] = dict(zip(_LINKS, (entry.trace, entry.release, entry.traces, entry.feedback), strict=True))
        if self.pairs:
            pair = (cast("str", entry.input), entry.opinion.reference, entry.output)
            return {"id": entry.trace, **dict(zip(PAIR_COLUMNS, pair, strict=True)), **links}
        assert self.shape is not None
        names = self.shape.inputs
        filled = {names[0]: entry.input} if len(names) == 1 else cast("JsonObject", entry.input)
        known: dict[str, Json] = {} if self.shape.id is None else {self.shape.id: entry.trace}
        return {**known, **filled, self.shape.reference: entry.opinion.reference, **links}


@dataclass(frozen=True, slots=True)
class _Left:
    """Why a trace gives no sample."""

    why: str


def key_of(value: Json) -> bytes:
    """What makes two inputs the same: their content, text without the white space around it."""
    return canonical(encode_value(value.strip() if isinstance(value, str) else value))


def _question(value: Json) -> Json | _Left:
    """What an application was asked: text, or its inputs by name. Of a conversation the one message of its user.

    Of a call of a model (`messages`) it is what the user said last.
    """
    if value in (None, "", {}, []):
        return _Left("no input was recorded")
    if isinstance(value, Mapping) and (said := _messages(value)):
        return _said_by(said, "user") or _Left("no message of the user is text")
    if isinstance(value, Sequence) and not isinstance(value, str):
        users = [each for each in value if isinstance(each, Mapping) and each.get("role") == "user"]
        if len(users) != 1:
            return _Left("a conversation of several turns")
        content = users[0].get("content")
        return content if isinstance(content, str) and content else _Left("the message is not text")
    return value


def _messages(value: Mapping[str, Json]) -> Sequence[Mapping[str, Json]]:
    """The messages of a call of a model; nothing where `messages` is something else."""
    said = value.get("messages")
    if not isinstance(said, Sequence) or isinstance(said, str):
        return ()
    return [each for each in said if isinstance(each, Mapping) and "role" in each]


def _said_by(messages: Sequence[Mapping[str, Json]], role: str) -> str:
    """The text of the last message of this role; a message's parts of text are joined. Empty when there is none."""
    last = next((each.get("content") for each in reversed(messages) if each.get("role") == role), None)
    if isinstance(last, str):
        return last
    parts = [each for each in last if isinstance(each, Mapping)] if isinstance(last, Sequence) else []
    texts = [each.get("text") for each in parts if each.get("type", "text") == "text"]
    return "\n".join(each for each in texts if isinstance(each, str) and each)


def _shape_for(value: Json) -> Shape:
    """The shape of a new dataset whose first sample asks this."""
    if isinstance(value, Mapping) and len(value) > 1:
        return Shape(inputs=tuple(value), id="id")
    return Shape(inputs=("input",), id="id")


def _single(value: Json, name: str) -> Json | _Left:
    if not isinstance(value, Mapping):
        return value
    found = value.get(name) if name in value else next(iter(value.values())) if len(value) == 1 else None
    return found if found not in (None, "") else _Left(f"the input does not have {name}")


def _only_text(value: Json) -> Json | _Left:
    found = next(iter(value.values())) if isinstance(value, Mapping) and len(value) == 1 else value
    return found if isinstance(found, str) and found else _Left("the input is not one text")


def _opinion(said: Sequence[Feedback], output: str) -> _Opinion:
    newest = sorted((each for each in said if each.span_id is None), key=lambda each: (each.created_ns, each.id), reverse=True)
    correction = next((each for each in newest if each.kind == "correction"), None)
    thumbs = next((each for each in newest if each.kind == "thumbs"), None)
    is_up = thumbs is not None and thumbs.value == "up"
    source, reference, at_ns = _NO_REFERENCE
    if correction is not None:
        source, reference, at_ns = "correction", str(correction.value), correction.created_ns
    elif thumbs is not None and is_up and output.strip():
        source, reference, at_ns = "thumbs", output, thumbs.created_ns
    return _Opinion(
        source=source,
        reference=reference,
        is_down=thumbs is not None and not is_up,
        at_ns=at_ns,
        ids=tuple(each.id for each in newest),
    )


_NO_REFERENCE: Final[tuple[Source, str | None, int]] = ("none", None, 0)


def _text(output: Json) -> str:
    """What was answered, as text: an answer's text where it has more to it, else JSON."""
    if output is None or isinstance(output, str):
        return output or ""
    if isinstance(output, Mapping) and isinstance(text := output.get("text", output.get("content")), str):
        return text
    if isinstance(output, Mapping) and (said := _messages(output)):
        return _said_by(said, "assistant")
    return dump_json(output).decode()
