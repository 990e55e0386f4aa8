"""Scorers that read what a text says, by the same engines as the guardrails' checks: for evaluations and for live traffic.

Larger is better, as everywhere: 1 is a text without anything found. A reason names what was found by kind, and never quotes it.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import anyio.to_thread

from tidemill.core.errors import Invalid
from tidemill.core.json import Json
from tidemill.core.records import Score
from tidemill.evaluation.scorers.normalise import as_text
from tidemill.flows.providers import languages, profanity
from tidemill.flows.safety_checks import Engine, PersonalData, PromptInjection

Field: TypeAlias = Literal["input", "output"]
_FIELDS: Final = ("input", "output")
_SHORTEST: Final = 12  # characters; below, a language cannot be told


def _check_field(on: str) -> None:
    if on not in _FIELDS:
        raise Invalid(f"on is {on!r}, but should be input or output", where="on")


@dataclass(frozen=True, kw_only=True)
class PersonalDataScore:
    """1 when no personal data is found, else 0. `engine`, `entities` and `threshold` as for the check `pii`."""

    on: Field = "output"
    engine: Engine = "presidio"
    entities: Sequence[str] = ()
    threshold: float = 0.4
    name: str = "pii"
    binary: bool = True

    def __post_init__(self) -> None:
        _check_field(self.on)
        _ = self._check  # wrong options, or a missing extra, are told when it is made

    @property
    def reads(self) -> frozenset[str]:
        """The field that `on` names."""
        return frozenset({self.on})

    @property
    def version(self) -> str:
        """The rules' version and the library's."""
        return f"1+{self._check.version}"

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score one text."""
        found = await self._check.check(as_text(fields.get(self.on)))
        return Score(metric=self.name, value=float(not found), reason=_kinds(found))

    @functools.cached_property
    def _check(self) -> PersonalData:
        return PersonalData(engine=self.engine, entities=self.entities, threshold=self.threshold)


@dataclass(frozen=True, kw_only=True)
class ProfanityScore:
    """1 minus the chance that the text is offensive (English)."""

    on: Field = "output"
    name: str = "profanity"
    binary: bool = False

    def __post_init__(self) -> None:
        _check_field(self.on)
        profanity.require_profanity()

    @property
    def reads(self) -> frozenset[str]:
        """The field that `on` names."""
        return frozenset({self.on})

    @property
    def version(self) -> str:
        """The library's."""
        return f"1+{profanity.require_profanity()}"

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score one text."""
        text = as_text(fields.get(self.on))
        if not text.strip():
            return Score(metric=self.name, value=1.0, reason="there is no text")
        (chance,) = await anyio.to_thread.run_sync(profanity.probabilities, [text])
        return Score(metric=self.name, value=1.0 - chance)


@dataclass(frozen=True, kw_only=True)
class LanguageScore:
    """1 when the output is in one of the languages `allow` (ISO 639-1), else 0; without `allow`, in the language of the input.

    No score where a text is too short to tell, or the model is less sure than `least` (0 to 1).
    """

    allow: Sequence[str] = ()
    least: float = 0.5
    name: str = "language"
    binary: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.allow, str):
            raise Invalid("allow is a list of language codes", where="allow", hint="Write allow: [en, de].")
        languages.require_languages()

    @property
    def reads(self) -> frozenset[str]:
        """The output, and the input when it decides the language."""
        return frozenset({"output"} if self.allow else {"input", "output"})

    @property
    def version(self) -> str:
        """The library's."""
        return f"1+{languages.require_languages()}"

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score one output."""
        spoken = self._language(as_text(fields.get("output")))
        wanted = list(self.allow) or [self._language(as_text(fields.get("input")))]
        if spoken is None or None in wanted:
            what = "output" if spoken is None else "input"
            return Score(metric=self.name, value=None, error=f"the {what} is too short to tell its language")
        reason = f"{spoken}, not {' or '.join(str(each) for each in wanted)}"
        return Score(metric=self.name, value=float(spoken in wanted), reason="" if spoken in wanted else reason)

    def _language(self, text: str) -> str | None:
        if len(text.strip()) < _SHORTEST:
            return None
        language, confidence = languages.language_of(text)
        return language if confidence >= self.least else None


@dataclass(frozen=True, kw_only=True)
class PromptInjectionScore:
    """1 when no rule sees an attempt to take the model over, else 0. It scores the input, unless `on` says otherwise."""

    on: Field = "input"
    name: str = "prompt_injection"
    version: str = f"1+{PromptInjection.version}"
    binary: bool = True

    def __post_init__(self) -> None:
        _check_field(self.on)

    @property
    def reads(self) -> frozenset[str]:
        """The field that `on` names."""
        return frozenset({self.on})

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score one text."""
        found = await PromptInjection().check(as_text(fields.get(self.on)))
        return Score(metric=self.name, value=float(not found), reason=_kinds(found))


def _kinds(found: Sequence[tuple[int, int, str]]) -> str:
    counts = Counter(label for _, _, label in found)
    return ", ".join(f"{label} {number}" for label, number in sorted(counts.items()))
