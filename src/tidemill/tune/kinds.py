"""`kind: tune`: a base, a dataset, a method, and where the result goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field

from tidemill.core.bodies import parse_body
from tidemill.core.difference import spec_difference
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Files, Surroundings
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Material, Parsed, Version
from tidemill.core.refs import parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.tune.recipe import TARGETS, Method, TooLong
from tidemill.tune.rows import form_problem

Ratio = Annotated[float, Field(ge=0, le=0.9)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class _LoraBody(_Body):
    rank: Annotated[int, Field(ge=1, le=256)] = 16
    alpha: Annotated[float, Field(gt=0, le=1024)] | None = None
    dropout: Ratio = 0.0
    targets: Annotated[list[str], Field(min_length=1)] = list(TARGETS)


class _TuneBody(_Body):
    method: Method = "sft"
    base: str
    data: str
    evaluate_on: str | list[str] = Field(default_factory=list[str])
    prompt: str | None = None
    output: str | None = None
    steps: Annotated[int, Field(ge=1, le=100_000)] | None = None
    epochs: Annotated[float, Field(gt=0, le=1000)] | None = None
    batch: Annotated[int, Field(ge=1, le=256)] = 8
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    warmup: Ratio = 0.1
    max_tokens: Annotated[int, Field(ge=16, le=2048)] = 512
    too_long: TooLong = "refuse"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    checkpoint_every: Annotated[int, Field(ge=1, le=10_000)] = 10
    beta: Annotated[float, Field(gt=0, le=10)] | None = None
    lora: _LoraBody = Field(default_factory=_LoraBody)


class TuneKind:
    """`kind: tune`. Spec: every option with its default filled in; its references are the base, the data and the prompt."""

    name = "tune"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:  # noqa: ARG002  (the Protocol's argument)
        """Check the body and fill in what it leaves out."""
        given = parse_body(_TuneBody, body, what="the tune is not valid")
        problems: list[Problem] = []
        references = _references(given, problems)
        if given.steps is not None and given.epochs is not None:
            problems.append(Problem(message="steps and epochs are both given", where="epochs", hint="Leave one of them out."))
        if given.beta is not None and given.method != "dpo":
            problems.append(Problem(message="beta belongs to the method dpo", where="beta", hint="Leave it out."))
        problems += [
            Problem(message=f"{each!r} is not a layer", where="lora.targets", hint=did_you_mean(each, TARGETS))
            for each in given.lora.targets
            if each not in TARGETS
        ]
        if problems:
            raise Invalid(problems[0].message, where=problems[0].where, hint=problems[0].hint, problems=problems)
        return Parsed(spec=_canonical(given, references), references=references)

    def materialise(self, version: Version, *, around: Surroundings) -> Material:  # noqa: ARG002  (the Protocol's argument)
        """Every option; `beta` where the method has one."""
        return Material(body=_body(version.spec))

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:
        """The base must run here, and the data must have the columns that the method reads."""
        problems: list[Problem] = []
        base = resolved.get(str(spec["base"]))
        if base is not None and base.spec.get("provider") != "local":
            hint = "Name a model of provider: local."
            message = f"{base.bare} is served by {base.spec.get('provider')}, and only a local model can be tuned here"
            problems.append(Problem(message=message, where="base", hint=hint))
        data = resolved.get(str(spec["data"]))
        if data is not None:
            problem = form_problem(data, method=cast("Method", spec["method"]))
            problems += [problem] if problem is not None else []
        return problems

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """One line a changed option."""
        return spec_difference(old, new).lines


def _body(spec: JsonObject) -> JsonObject:
    return {key: value for key, value in spec.items() if key != "beta" or spec.get("method") == "dpo"}


def _references(given: _TuneBody, problems: list[Problem]) -> dict[str, str]:
    judging = [given.evaluate_on] if isinstance(given.evaluate_on, str) else given.evaluate_on
    wanted = [("base", "model", given.base), ("data", "dataset", given.data)]
    wanted += [(f"evaluate_on.{number}", "dataset", each) for number, each in enumerate(judging)]
    wanted += [("prompt", "prompt", given.prompt)] if given.prompt is not None else []
    found: dict[str, str] = {}
    for place, kind, written in wanted:
        try:
            found[place] = str(parse_ref(written, kind=kind))
        except Invalid as error:
            problems.append(Problem(message=error.message, where=place, hint=error.hint))
    if given.output is not None:
        try:
            ref = parse_ref(given.output, kind="model")
            if ref.version is not None:
                problems.append(Problem(message="the output is a new version, so it names none", where="output"))
        except Invalid as error:
            problems.append(Problem(message=error.message, where="output", hint=error.hint))
    return found


def _canonical(given: _TuneBody, references: Mapping[str, str]) -> JsonObject:
    spec: dict[str, Json] = {
        name: getattr(given, name)
        for name in "method batch learning_rate warmup max_tokens too_long seed checkpoint_every".split()
    }
    spec |= {name: references[name] for name in ("base", "data", "prompt") if name in references}
    spec["evaluate_on"] = [each for place, each in references.items() if place.startswith("evaluate_on.")]
    if given.output is not None:
        spec["output"] = parse_ref(given.output, kind="model").name
    if given.steps is not None:
        spec["steps"] = given.steps
    else:
        spec["epochs"] = given.epochs or 1.0
    spec["beta"] = given.beta or 0.1
    lora = given.lora
    spec["lora"] = {
        "rank": lora.rank,
        "alpha": lora.alpha or 2.0 * lora.rank,
        "dropout": lora.dropout,
        "targets": [each for each in TARGETS if each in lora.targets],
    }
    return spec
