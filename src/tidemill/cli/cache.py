"""`tidemill cache`: what kept answers would do, measured before a document says `cache`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import Parameter

from tidemill.cli.figures import as_text, count, counted, money
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import note, say, say_json
from tidemill.cli.table import Column, table
from tidemill.core.chat import Vectors
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject

if TYPE_CHECKING:
    from tidemill.client.api import AsyncClient
    from tidemill.models.cache.measure import Measured

_THRESHOLDS = (0.80, 0.85, 0.90, 0.92, 0.94, 0.96, 0.98)
_AT_ONCE = 256  # texts


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class Measuring:
    """What is measured, and how."""

    embedder: str
    """What compares questions, as in embedder/small."""

    question: str | None = None
    """The dataset's column with the question. Default: the input."""

    meaning: str | None = None
    """The dataset's column that says what a question means, such as an intent. Default: the reference."""

    filter: str | None = None
    """Without a dataset: only traces that meet this, as in "endpoint=help status=ok"."""

    since: str | None = None
    """Without a dataset: only traces from this time on, or so long ago, as in 7d."""

    alike: float = 0.9
    """Without a dataset: answers mean the same when their cosine is at least this, 0 to 1."""

    threshold: Annotated[tuple[float, ...], Parameter(consume_multiple=True)] = _THRESHOLDS
    """Thresholds to try, cosines of questions, 0 to 1."""

    limit: int = 1000
    """At most N questions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """Questions in their order. `meanings` or `answers` tells which mean the same; `costs` in US dollars, empty if unknown."""

    questions: Sequence[str]
    meanings: Sequence[str] = ()
    answers: Sequence[str] = ()
    costs: Sequence[float] = ()


async def measure(dataset: str | None = None, /, *, asked: Measuring, options: Options = DEFAULTS) -> None:
    """Measure how often a semantic cache would answer, how often wrongly, and what it would save, by threshold.

    Questions are asked one after the other, in their order, as if each answer had been kept. A hit is false when its question
    means something else than the one that was kept: by a column of a dataset, or by the answers that recorded traces gave.

    :param dataset: The dataset, as in dataset/questions. Default: recorded traces, the newest.
    """
    import anyio.to_thread

    wrong = [each for each in (*asked.threshold, asked.alike) if not 0 < each <= 1]
    if wrong:
        raise Invalid(f"{wrong[0]:g} is no cosine of a threshold", hint="Write numbers above 0, at most 1.")
    async with open_client(options) as client:
        found = await (_of_traces(client, asked) if dataset is None else _of_dataset(client, dataset, asked))
        vectors = await _embed(client, asked.embedder, found.questions)
        answers = await _embed(client, asked.embedder, found.answers) if found.answers else None
    rows = await anyio.to_thread.run_sync(_measured, found, vectors, answers, asked)
    if options.json:
        say_json({"items": [_as_json(each) for each in rows]})
        return
    _print(rows, by_answers=answers is not None)


def _measured(found: _Asked, vectors: Vectors, answers: Vectors | None, asked: Measuring) -> Sequence[Measured]:
    from tidemill.models.cache.measure import measure as by_meanings
    from tidemill.models.cache.measure import measure_by_answers

    thresholds = sorted(set(asked.threshold))
    if answers is None:
        return by_meanings(vectors, found.meanings, thresholds=thresholds, costs=found.costs)
    return measure_by_answers(vectors, answers, thresholds=thresholds, alike=asked.alike, costs=found.costs)


async def _of_dataset(client: AsyncClient, dataset: str, asked: Measuring) -> _Asked:
    rows = await client.samples(dataset, limit=asked.limit)
    questions: list[str] = []
    meanings: list[str] = []
    for row in rows:
        columns = cast("JsonObject", row.get("row") or {})
        question = _question(row.get("input") if asked.question is None else columns.get(asked.question))
        meaning = row.get("reference") if asked.meaning is None else columns.get(asked.meaning)
        if question and meaning not in (None, ""):
            questions.append(question)
            meanings.append(as_text(meaning))
    if len(questions) < len(rows):
        note(f"{counted(len(rows) - len(questions), 'row')} left out: no question, or nothing that says what it means")
    _check(questions, "Name its columns: --question COLUMN --meaning COLUMN.")
    return _Asked(questions=questions, meanings=meanings)


async def _of_traces(client: AsyncClient, asked: Measuring) -> _Asked:
    traces = await client.traces(filter=asked.filter, from_=asked.since, limit=asked.limit)
    questions: list[str] = []
    answers: list[str] = []
    costs: list[float] = []
    for each in reversed(traces):
        question, answer = _question(each.get("input")), each.get("output")
        if question and answer not in (None, "", {}, []) and each["status"] == "ok":
            questions.append(question)
            answers.append(as_text(_text_of(answer)))
            costs.append(each.get("cost") or 0.0)
    _check(questions, "Widen --since or --filter, or name a dataset.")
    return _Asked(questions=questions, answers=answers, costs=costs)


def _check(questions: Sequence[str], hint: str) -> None:
    if len(questions) < 2:
        raise Invalid(f"{counted(len(questions), 'question')} of which the meaning is known: too few", hint=hint)


def _question(value: Json) -> str:
    """The text of a question: as it is, the last message, or the only text among the inputs."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Mapping):
        if isinstance(value.get("messages"), Sequence):
            return _question(value["messages"])
        texts = [each for each in value.values() if isinstance(each, str)]
        return texts[0].strip() if len(texts) == 1 else as_text(value)
    if isinstance(value, Sequence) and value:
        return _question(_text_of(value[-1]))
    return ""


def _text_of(value: Json) -> Json:
    """What a message says; anything else as it is."""
    if isinstance(value, Mapping) and "content" in value:
        content = value["content"]
        if isinstance(content, Sequence) and not isinstance(content, str):
            return " ".join(str(each.get("text", "")) for each in content if isinstance(each, Mapping))
        return content
    return value


async def _embed(client: AsyncClient, embedder: str, texts: Sequence[str]) -> Vectors:
    pieces: list[Vectors] = []
    for start in range(0, len(texts), _AT_ONCE):
        pieces.append(await client.embed(embedder, texts[start : start + _AT_ONCE]))
        if len(texts) > _AT_ONCE:
            note(f"{count(min(start + _AT_ONCE, len(texts)))} of {count(len(texts))} texts embedded")
    return Vectors(dimensions=pieces[0].dimensions, data=b"".join(each.data for each in pieces))


def _as_json(row: Measured) -> JsonObject:
    return {
        "threshold": row.threshold, "questions": row.questions, "hits": row.hits, "hit_rate": row.hits / row.questions,
        "false_hits": row.false_hits, "false_rate": row.false_hits / row.hits if row.hits else None,
        "false_rate_interval": [row.low, row.high], "saved": row.saved,
    }  # fmt: skip


def _print(rows: Sequence[Measured], *, by_answers: bool) -> None:
    says = "false: the two answers are not alike" if by_answers else "false: the two do not mean the same"
    say(f"{counted(rows[0].questions, 'question')}, one after the other; {says}")
    columns = [
        Column("threshold", "point"), Column("hits", "right"), Column("of all", "point"), Column("false", "right"),
        Column("of hits", "point"), Column("95 %"), Column("saved", "right"),
    ]  # fmt: skip
    shown = len(columns) - all(each.saved is None for each in rows)
    lines = [_line(each)[:shown] for each in rows]
    columns = columns[:shown]
    for line in table(columns, lines, indent="  "):
        say(line)
    say("write the threshold you choose under cache.semantic of a model, a route or an endpoint")


def _line(row: Measured) -> list[str]:
    hits = row.hits
    rate, bounds = (f"{row.false_hits / hits:.1%}", f"{row.low:.1%} to {row.high:.1%}") if hits else ("", "")
    saved = "" if row.saved is None else money(row.saved)
    return [f"{row.threshold:.2f}", count(hits), f"{hits / row.questions:.1%}", count(row.false_hits), rate, bounds, saved]


COMMANDS = {"measure": measure}
