"""What a document of `kind: telemetry` may say, as it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias, cast, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from tidemill.core.durations import parse_duration
from tidemill.core.errors import Invalid
from tidemill.core.json import Json
from tidemill.core.records import SpanKind
from tidemill.core.suggest import nearest
from tidemill.pricing import read_prices
from tidemill.telemetry.rules.patterns import BUILT_IN
from tidemill.telemetry.rules.regex import compile_pattern
from tidemill.telemetry.rules.shares import parse_share
from tidemill.telemetry.sampling import read_sampling

ROOTS: Final = (
    "name", "error", "input", "output", "user", "session", "tags", "attributes", "events", "links", "resource", "model",
    "provider", "step", "service", "scope", "endpoint", "finish_reasons", "feedback",
)  # fmt: skip
"""The parts of a span that rules look at, by the names of their fields; `feedback` is what people said of it."""
KINDS: Final[tuple[str, ...]] = get_args(SpanKind)
KEPT: Final = ("spans", "payloads", "scores", "numbers")
"""What may be kept for a time of its own, besides spans of a kind."""
_SHORTEST_KEPT: Final = 3600.0
_WORD: Final = re.compile(r"[a-z_]+")

Action: TypeAlias = Literal["mask", "hash", "drop"]


def _share(value: object) -> float:
    try:
        return parse_share(value)
    except Invalid as error:
        raise ValueError(f"{error.message}. {error.hint}") from error


Share: TypeAlias = Annotated[float, BeforeValidator(_share), Field(ge=0, le=1, allow_inf_nan=False)]
"""How much is kept: `on`, `off`, or a share from 0 to 1."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class CaptureSpec(_Strict):
    """Whose inputs and outputs are kept; what is named by endpoint or kind goes before `default`."""

    default: Share = 1.0
    endpoints: Mapping[str, Share] = Field(default_factory=dict[str, float])
    kinds: Mapping[SpanKind, Share] = Field(default_factory=dict[SpanKind, float])


class RuleSpec(_Strict):
    """One rule: what is looked for, and what is done with it."""

    pattern: Annotated[str, Field(min_length=1)] | None = None
    detector: Annotated[str, Field(min_length=1)] | None = None
    field: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z][A-Za-z0-9 _-]*$")] | None = None
    action: Action = "mask"
    replacement: Annotated[str, Field(max_length=200)] | None = None
    within: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    entities: tuple[str, ...] = ()
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None

    @field_validator("pattern")
    @classmethod
    def _usable(cls, value: str | None) -> str | None:
        if value is not None and value not in BUILT_IN:
            meant = nearest(value, sorted(BUILT_IN)) if _WORD.fullmatch(value) else None
            if meant is not None:  # silence would mean that nothing is hidden
                raise ValueError(
                    rf"no pattern {value!r} is built in. Did you mean {meant}? For the word itself write '\b{value}\b'"
                )
            try:
                compile_pattern(value)
            except Invalid as error:
                if value.replace("_", "").isalnum() and value.islower():
                    raise ValueError(f"{error.message}. Built in are {', '.join(BUILT_IN)}") from error
                raise ValueError(f"{error.message}. {error.hint}") from error
        return value

    @field_validator("field")
    @classmethod
    def _known_field(cls, value: str | None) -> str | None:
        if value is not None and value.partition(".")[0] not in ROOTS:
            raise ValueError(f"a field begins with one of {', '.join(ROOTS)}, and {value!r} does not")
        return value

    @field_validator("within")
    @classmethod
    def _known_parts(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        odd = [each for each in value or () if each not in ROOTS]
        if odd:
            raise ValueError(f"within names parts of a span, and {odd[0]!r} is none. There are {', '.join(ROOTS)}")
        return value

    @model_validator(mode="after")
    def _one_of(self) -> RuleSpec:
        if sum(each is not None for each in (self.pattern, self.detector, self.field)) != 1:
            raise ValueError("a rule has one of pattern, detector and field")
        if self.detector is None and (self.entities or self.threshold is not None):
            raise ValueError("entities and threshold belong to a detector")
        if self.field is not None and self.within is not None:
            raise ValueError("within says nothing beside field, which is a place already")
        if self.replacement is not None and self.action != "mask":
            raise ValueError(f"replacement is for action: mask, and this is {self.action}")
        return self


class TelemetrySpec(_Strict):
    """The whole document."""

    capture: CaptureSpec = Field(default_factory=CaptureSpec)
    redact: Annotated[tuple[RuleSpec, ...], Field(max_length=100)] = ()
    users: Literal["keep", "hash"] = "keep"
    sampling: Mapping[str, Any] | None = None
    retention: Mapping[str, str] = Field(default_factory=dict[str, str])
    prices: Any = None

    @field_validator("capture", mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return cast("object", value) if isinstance(value, Mapping | CaptureSpec) else {"default": value}

    @field_validator("sampling")
    @classmethod
    def _readable_sampling(cls, value: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        read_sampling(value)
        return value

    @field_validator("prices")
    @classmethod
    def _priced(cls, value: object) -> object:
        try:
            read_prices(value)
        except Invalid as error:
            raise ValueError(f"{error.message}. {error.hint}") from error
        return value

    @field_validator("retention")
    @classmethod
    def _lengths(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for key, length in value.items():
            retention_seconds(key, length)
        return value


def retention_seconds(key: str, length: object) -> float | None:
    """How long something is kept, in seconds; None is for ever. Raises ValueError for what cannot be kept so."""
    if key not in (*KEPT, *KINDS):
        raise ValueError(f"nothing is called {key!r}. There are {', '.join((*KEPT, *KINDS))}")
    if length == "forever":
        return None
    try:
        seconds = parse_duration(length, what=key)
    except Invalid as error:
        raise ValueError(f"{error.message}. Write 30d, or forever") from error
    if seconds < _SHORTEST_KEPT:
        raise ValueError(f"{key} is kept for {length}, and the shortest is 1h")
    return seconds


def canonical(spec: TelemetrySpec) -> dict[str, Json]:
    """The document with only what it says."""
    found = cast("dict[str, Json]", spec.model_dump(mode="json", exclude_defaults=True))
    return {key: value for key, value in found.items() if value not in (None, {}, [])}
