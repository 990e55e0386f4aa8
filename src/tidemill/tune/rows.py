"""From a dataset's samples to what is trained on, and what makes a dataset unfit for it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.parts import Message, message_from_json, message_to_json
from tidemill.core.records import Sample, Version
from tidemill.prompts.render import PromptTemplate
from tidemill.prompts.text import text_of
from tidemill.tune.recipe import Method

FEWEST = 8
FEW = 50
_NAMED = 20
_AS_ROWS = "Give it roles: {input: …, reference: …}, or a column messages of [{role, content}] that ends with the assistant."
_AS_PAIRS = "Give it the columns prompt, chosen and rejected."
Turns: TypeAlias = tuple[Message, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One example: a conversation up to the answer, the answer, and for a preference the answer that is worse."""

    id: str
    prompt: Turns
    answer: str
    worse: str | None = None

    @property
    def asked(self) -> str:
        """What the last user message says."""
        return next((each.text for each in reversed(self.prompt) if each.role == "user"), "")

    def as_json(self) -> dict[str, Json]:
        """As the trainer reads it."""
        prompt: list[Json] = [message_to_json(each) for each in self.prompt]
        return {"id": self.id, "prompt": prompt, "answer": self.answer, "worse": self.worse}


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """Rows that can be trained on, and what a person should know about them."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())


def form_problem(data: Version, *, method: Method) -> Problem | None:
    """What a dataset lacks for a method, seen from its columns and roles."""
    columns = cast("Mapping[str, str]", data.spec.get("columns") or {})
    roles = cast("Mapping[str, Json]", data.spec.get("roles") or {})
    if method == "dpo":
        missing = [each for each in ("chosen", "rejected") if each not in columns]
        if missing:
            return Problem(message=f"{data.bare} has no column {missing[0]!r}, which dpo reads", where="data", hint=_AS_PAIRS)
        return None
    if "messages" in columns or "reference" in roles:
        return None
    return Problem(message=f"{data.bare} says no answers: it has no reference and no messages", where="data", hint=_AS_ROWS)


def prepare_rows(samples: Sequence[Sample], *, method: Method, prompt: JsonObject | None = None) -> Prepared:
    """The rows of a dataset for a method. `prompt` is the spec of the prompt that the application fills with the input.

    Raises `Invalid` with the rows named: too few of them, answers that are missing, empty or all the same, a wrong form.
    """
    template = PromptTemplate(prompt) if prompt is not None else None
    problems: list[Problem] = []
    rows: list[Row] = []
    for sample in samples:
        try:
            rows.append(_pair(sample, template) if method == "dpo" else _example(sample, template))
        except Invalid as error:
            problems.append(Problem(message=f"row {sample.id}: {error.message}", where="data", hint=error.hint))
    if problems:
        raise Invalid(f"{len(problems)} of {len(samples)} rows cannot be trained on", problems=problems[:_NAMED])
    if len(rows) < FEWEST:
        raise Invalid(
            f"{len(rows)} rows are too few to learn from; the least is {FEWEST}",
            where="data",
            hint="Some hundred rows teach a format or a set of labels; below 50 the result is mostly luck.",
        )
    _refuse_one_answer(rows)
    return Prepared(rows=tuple(rows), notes=tuple(_notes(rows)))


def named(ids: Sequence[str]) -> str:
    """Row ids for a message: the first twenty, and how many more."""
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more


def _refuse_one_answer(rows: Sequence[Row]) -> None:
    answers = {each.answer.strip() for each in rows}
    if len(answers) == 1 and len({each.worse for each in rows}) == 1:
        raise Invalid(
            f"every row has the same answer, {next(iter(answers))[:60]!r}: the model would learn to say it always",
            where="data",
            hint="Add rows with other answers.",
        )


def _notes(rows: Sequence[Row]) -> list[str]:
    notes: list[str] = []
    if len(rows) < FEW:
        notes.append(f"{len(rows)} rows are few; below {FEW} the result is mostly luck")
    asked: dict[str, set[str]] = {}
    for each in rows:
        asked.setdefault(each.asked, set()).add(each.answer)
    unsure = [each.id for each in rows if len(asked[each.asked]) > 1 and each.worse is None]
    if unsure:
        notes.append(f"the same input has different answers in rows {named(unsure)}")
    repeated = sum(count - 1 for count in Counter((each.asked, each.answer, each.worse) for each in rows).values())
    if repeated:
        notes.append(f"{repeated} rows repeat another row")
    return notes


def _example(sample: Sample, template: PromptTemplate | None) -> Row:
    conversation = sample.row.get("messages")
    if conversation is not None and (template is None or sample.reference is None):
        turns = _turns(conversation)
        if len(turns) < 2 or turns[-1].role != "assistant":
            raise Invalid("messages do not end with the assistant's answer", hint=_AS_ROWS)
        return Row(id=sample.id, prompt=turns[:-1], answer=_answer(turns[-1].text, "answer"))
    answer = _answer(sample.reference, "reference")
    return Row(id=sample.id, prompt=_asked(sample, template), answer=_in_form(answer, template, "reference"))


def _pair(sample: Sample, template: PromptTemplate | None) -> Row:
    better = _answer(_said(sample.row.get("chosen")), "chosen")
    worse = _answer(_said(sample.row.get("rejected")), "rejected")
    if better.strip() == worse.strip():
        raise Invalid("chosen and rejected are the same")
    given = sample.row.get("prompt")
    if template is None and given is not None:
        turns = (Message.of("user", given),) if isinstance(given, str) else _turns(given)
    else:
        turns = _asked(sample, template)
    return Row(id=sample.id, prompt=turns, answer=_in_form(better, template, "chosen"), worse=worse)


def _asked(sample: Sample, template: PromptTemplate | None) -> Turns:
    """The conversation that the application would send for this input."""
    if template is None:
        if not isinstance(sample.input, str | Mapping):
            raise Invalid("the input is not text", hint="Name the prompt that the application fills: prompt: prompt/NAME.")
        return (Message.of("user", text_of(sample.input)),)
    names = [each.name for each in template.variables]
    values: dict[str, Json] = {name: sample.row[name] for name in names if name in sample.row}
    if isinstance(sample.input, Mapping):
        values.update({name: each for name, each in sample.input.items() if name in names})
    elif names and names[0] not in values:
        values[names[0]] = sample.input
    return template.render(values)


def _said(value: Json) -> Json:
    """An answer given as text, as a message, or as a conversation that ends with it."""
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return _turns(value)[-1].text
    return message_from_json(value).text if isinstance(value, Mapping) and "role" in value else value


def _answer(value: Json, name: str) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        value = value[0]
    text = "" if value is None else text_of(value)
    if not text.strip():
        raise Invalid(f"{name} is missing or empty", hint="Every row needs its answer.")
    return text


def _in_form(answer: str, template: PromptTemplate | None, name: str) -> str:
    """The answer as the application's model must give it: where the prompt has an output schema, the JSON that fits it."""
    if template is None or template.output_schema is None:
        return answer
    from jsonschema_rs import is_valid  # noqa: PLC0415  (only where there is a schema)

    for value in (_parsed(answer), answer):
        if value is not None and is_valid(dict(template.output_schema), value):
            return json.dumps(value, ensure_ascii=False)
    hint = "Correct the row, or let the schema allow it."
    raise Invalid(f"{name} {answer[:60]!r} does not fit the output_schema of the prompt", hint=hint)


def _parsed(text: str) -> Json:
    try:
        return parse_json(text.encode(), what="the answer")
    except Invalid:
        return None


def _turns(value: Json) -> Turns:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise Invalid("messages are not a list of {role, content}", hint=_AS_ROWS)
    return tuple(message_from_json(each) for each in value)
