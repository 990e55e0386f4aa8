"""`kind: scorer` and `kind: gate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tidemill.core.bodies import parse_body
from tidemill.core.difference import Difference, spec_difference
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import BlobReader, Files, Surroundings
from tidemill.core.json import JsonObject
from tidemill.core.records import Material, Parsed, Version
from tidemill.evaluation.gate_rules import CheckRule, GateRule
from tidemill.evaluation.results import parse_slice
from tidemill.evaluation.scorers.choose import Chosen, make_scorer
from tidemill.flows.code import read_code
from tidemill.flows.contract import code_difference
from tidemill.flows.material import code_material

READABLE = ("input", "output", "reference", "context", "gold", "retrieved", "retrieved_text", "metadata")
Readable = Literal["input", "output", "reference", "context", "gold", "retrieved", "retrieved_text", "metadata"]

Finite: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class _ScorerSpec(_Strict):
    scorer: str | None = None
    options: dict[str, Any] = Field(default_factory=dict[str, Any])
    call: str | None = None
    reads: tuple[Readable, ...] = ("output", "reference")

    @model_validator(mode="after")
    def _one_of(self) -> _ScorerSpec:
        if (self.scorer is None) == (self.call is None):
            raise ValueError("a scorer needs either scorer (a built-in's name) or call (package.module:callable)")
        return self


class _CheckSpec(_Strict):
    metric: Annotated[str, Field(min_length=1)]
    slice: str | None = None
    min: Finite | None = None
    max: Finite | None = None
    test: Literal["superiority", "noninferiority"] | None = None
    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    min_n: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _says_something(self) -> _CheckSpec:
        if self.min is None and self.max is None and self.test is None:
            raise ValueError("a check needs min, max or test")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: no value could pass")
        if self.test == "noninferiority" and self.margin is None:
            raise ValueError("test: noninferiority needs margin, the difference that does not matter")
        if self.slice is not None:
            _slice(self.slice)
        return self


class _GateSpec(_Strict):
    against: str | None = None
    checks: Annotated[tuple[_CheckSpec, ...], Field(min_length=1)]
    correction: Literal["holm", "none"] = "holm"


class ScorerKind:
    """A built-in scorer with options, or a Python callable of the project."""

    name = "scorer"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:
        """Canonical form: `scorer` and `options`, or `code` and `reads`."""
        spec = parse_body(_ScorerSpec, body, what="scorer")
        if spec.scorer is not None:
            made = _made(spec.scorer, spec.options)
            return Parsed(spec={"scorer": spec.scorer, "options": spec.options, "version": made.scorer.version})
        assert spec.call is not None
        try:
            code = read_code(spec.call)
        except Invalid as error:
            raise Invalid(error.message, where="call", hint=error.hint) from error
        blobs = {} if code.lock is None else {"lock": files.put_blob(code.lock.content)}
        content: JsonObject = {"code": code.as_json(), "reads": sorted(spec.reads)}
        return Parsed(spec=content, blobs=blobs, hermetic=code.hermetic, notes=code.notes)

    def materialise(self, version: Version, *, around: Surroundings) -> Material:  # noqa: ARG002  (the Protocol's argument)
        """`scorer` with its options, or `call` with the project's own modules as files."""
        return _scorer_material(version.spec)

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:  # noqa: ARG002  (the Protocol's)
        """A scorer references nothing."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """The source files and the fields that changed."""
        return code_difference(old, new).lines

    def changes(self, old: Version, new: Version, *, blobs: BlobReader) -> Difference:  # noqa: ARG002  (the Protocol's argument)
        """The same, by place too."""
        return code_difference(old.spec, new.spec)


class GateKind:
    """The rule that an evaluation must pass."""

    name = "gate"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:  # noqa: ARG002  (the Protocol's argument)
        """Canonical form: every check with only what it says, `against` and `correction`."""
        spec = parse_body(_GateSpec, body, what="gate")
        return Parsed(spec=cast("JsonObject", spec.model_dump(exclude_none=True, mode="json")))

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:  # noqa: ARG002  (the Protocol's)
        """What a gate is held against may come into being later."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """The fields that changed."""
        return spec_difference(old, new).lines


def _scorer_material(spec: JsonObject) -> Material:
    if "code" in spec:
        return code_material(spec, key="call")
    return Material(body={key: value for key, value in spec.items() if key != "version" and value})


def _made(name: str, options: JsonObject) -> Chosen:
    try:
        return make_scorer(name, options)
    except Invalid as error:
        raise Invalid(error.message, where=error.where or "scorer", hint=error.hint, problems=error.problems) from error


def _slice(text: str) -> None:
    try:
        parse_slice(text)
    except Invalid as error:
        raise ValueError(f"{error.message}. {error.hint}") from error


def gate_rule(version: Version) -> GateRule:
    """The rule in a gate's version."""
    spec = version.spec
    checks = [CheckRule(**cast("dict[str, Any]", dict(each))) for each in cast("Sequence[JsonObject]", spec["checks"])]
    correction = cast("Literal['holm', 'none']", spec.get("correction", "holm"))
    return GateRule(name=version.name, checks=checks, against=cast("str | None", spec.get("against")), correction=correction)
