# ruff: noqa: ARG002  (arguments that the Protocol prescribes)
"""`kind: route`: several models behind one name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from tidemill.core.bodies import parse_body
from tidemill.core.conditions import Condition
from tidemill.core.difference import spec_difference
from tidemill.core.durations import parse_duration
from tidemill.core.errors import FailureKind, Invalid, Problem
from tidemill.core.extend import Files
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Parsed, Version
from tidemill.core.refs import parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.models.cache.policy import parse_cache, semantic_reference
from tidemill.models.checks.named import read_guardrails, unfit_guardrails
from tidemill.models.routing.facts import NAMES
from tidemill.models.routing.spec import QUANTILES, Sticky, Strategy

_MOST_TARGETS: Final = 64
_MAKES_VECTORS: Final = ("model", "file", "tokenizer", "dimensions", "params")


def _seconds(value: object) -> float:
    try:
        return parse_duration(value)
    except Invalid as error:
        raise ValueError(f"{error.message}. {error.hint}") from None


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class _Price(_Body):
    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]


class _Target(_Body):
    model: str
    weight: Annotated[float, Field(ge=0, le=1e6)] | None = None
    order: Annotated[int, Field(ge=0, le=1000)] | None = None
    when: str | None = None
    after: list[FailureKind] | None = None
    context: Annotated[int, Field(gt=0)] | None = None
    price: _Price | None = None


def _spelt_out(value: object) -> object:
    """A target that is only a reference."""
    return {"model": value} if isinstance(value, str) else value


class _Fallback(_Body):
    on: list[FailureKind] | None = None
    attempts: Annotated[int, Field(ge=1, le=16)] | None = None
    retries: Annotated[int, Field(ge=0, le=8)] | None = None
    retry_share: Annotated[float, Field(ge=0, le=1)] | None = None
    wait: Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=60)] | None = None


class _Breaker(_Body):
    failures: Annotated[int, Field(ge=1, le=10_000)] | None = None
    share: Share | None = None
    window: Seconds | None = None
    pause: Seconds | None = None
    longest: Seconds | None = None
    probes: Annotated[int, Field(ge=1, le=100)] | None = None


class _Hedge(_Body):
    after: str | float | None = None
    share: Share | None = None


class _Affinity(_Body):
    characters: Annotated[int, Field(ge=1, le=100_000)] | None = None
    load: Annotated[float, Field(gt=1, le=100)] | None = None


class _Health(_Body):
    every: Annotated[float, BeforeValidator(_seconds), Field(ge=1)] | None = None


class _RouteBody(_Body):
    targets: Annotated[list[Annotated[_Target, BeforeValidator(_spelt_out)]], Field(min_length=1, max_length=_MOST_TARGETS)]
    strategy: Strategy | None = None
    sticky: Sticky | None = None
    affinity: _Affinity | None = None
    fallback: _Fallback | None = None
    breaker: _Breaker | None = None
    hedge: _Hedge | None = None
    health: _Health | None = None
    cache: JsonValue = None
    timeout: Seconds | None = None
    first_token: Seconds | None = None
    longest: Seconds | None = None
    guardrails: JsonValue = None


class RouteKind:
    """`kind: route`: which of several models answers, and what is asked when one fails."""

    name = "route"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:
        """Check the body. Canonical: every target an object, times in seconds, what was not given left out."""
        given = parse_body(_RouteBody, body, what="the route is not valid")
        problems: list[Problem] = []
        references: dict[str, str] = {}
        targets: list[Json] = []
        for index, each in enumerate(given.targets):
            place = f"targets.{index}"
            written = isinstance(cast("Sequence[Json]", body["targets"])[index], str)
            targets.append(_target(each, place, references, problems, written=written))
        if all(isinstance(each, Mapping) and each.get("after") for each in targets):
            problems.append(
                Problem(message="every target waits for another to fail", where="targets", hint="Take after: out of one.")
            )
        if all(isinstance(each, Mapping) and each.get("weight") == 0 for each in targets):
            problems.append(Problem(message="no target has weight", where="targets", hint="Give one a weight above 0."))
        spec: dict[str, Json] = {"targets": targets}
        kinds = {parse_ref(each).kind for each in references.values()}
        if len(kinds) > 1:
            hint = "Make one route of the models and one of the embedders."
            problems.append(Problem(message="models and embedders are mixed", where="targets", hint=hint))
        spec.update(
            cast("JsonObject", given.model_dump(exclude={"targets", "hedge", "cache", "guardrails"}, exclude_none=True))
        )
        if given.hedge is not None:
            spec["hedge"] = _hedge(given.hedge, problems)
        kept, mistakes = parse_cache(given.cache, semantic="embedder" not in kinds)
        problems += mistakes
        if kept is not None:
            spec["cache"] = kept
            references.update(semantic_reference(kept))
        if given.guardrails is not None and (named := read_guardrails(given.guardrails, references, problems)):
            spec["guardrails"] = cast("list[Json]", named)
        if problems:
            raise Invalid(problems[0].message, where=problems[0].where, hint=problems[0].hint, problems=problems)
        return Parsed(spec=spec, references=references)

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:
        """Embedders must make the same vectors, since others cannot be compared; and guardrails that cannot stand there."""
        targets = [str(each["model"]) for each in cast("Sequence[JsonObject]", spec["targets"])]
        found = [(index, version) for index, each in enumerate(targets) if (version := resolved.get(each)) is not None]
        problems = unfit_guardrails(spec, resolved)
        if not found or found[0][1].kind != "embedder":
            return problems
        first = found[0][1]
        hint = "Give each the same model (or file), dimensions and params; provider and connection may differ."
        return problems + [
            Problem(
                message=f"{version.bare} makes other vectors than {first.bare}: their {differing} differ",
                where=f"targets.{index}.model",
                hint=hint,
            )
            for index, version in found[1:]
            if (differing := " and ".join(_unlike(first.spec, version.spec)))
        ]

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """One line a changed value."""
        return spec_difference(old, new).lines


def _target(
    given: _Target, place: str, references: dict[str, str], problems: list[Problem], *, written: bool
) -> dict[str, Json]:
    where = place if written else f"{place}.model"
    spec = cast("dict[str, Json]", given.model_dump(exclude_none=True))
    try:
        kind = "embedder" if given.model.partition("@")[0].rpartition(":")[2].startswith("embedder/") else "model"
        references[where] = spec["model"] = str(parse_ref(given.model, kind=kind))
    except Invalid as error:
        problems.append(Problem(message=error.message, where=where, hint=error.hint))
    if given.after is not None:
        spec["after"] = sorted(set(given.after))
    if given.when is not None:
        problems.extend(_condition_problems(given.when, f"{place}.when"))
    return spec


def _unlike(one: JsonObject, other: JsonObject) -> list[str]:
    """What two embedders say differently of the vectors that they make."""
    unlike = [name for name in _MAKES_VECTORS if one.get(name) != other.get(name)]
    if not unlike and one.get("model") is None and one.get("file") is None and one.get("provider") != other.get("provider"):
        return ["provider"]  # each serves a model of its own where none is named
    return unlike


def _condition_problems(text: str, where: str) -> list[Problem]:
    try:
        condition = Condition(text)
    except Invalid as error:
        return [Problem(message=error.message, where=where, hint='Write CEL, as in length > 8000 || tags.tier == "gold".')]
    return [
        Problem(
            message=f"the condition reads {name!r}, which a request does not have", where=where, hint=did_you_mean(name, NAMES)
        )
        for name in sorted(condition.names)
        if name not in NAMES
    ]


def _hedge(given: _Hedge, problems: list[Problem]) -> dict[str, Json]:
    spec: dict[str, Json] = {} if given.share is None else {"share": given.share}
    if isinstance(given.after, str) and given.after in QUANTILES:
        return {**spec, "after": given.after}
    if given.after is not None:
        try:
            spec["after"] = parse_duration(given.after, what="after")
        except Invalid as error:
            hint = f"Write one of {', '.join(QUANTILES)}, or a length of time such as 400ms."
            problems.append(Problem(message=error.message, where="hedge.after", hint=hint))
    return spec
