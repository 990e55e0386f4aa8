"""Checks for guardrails that read what a text says: personal data, offence, language, injection. All of them run offline."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import anyio.to_thread

from tidemill.core.errors import Invalid
from tidemill.core.personal_data import VERSION as FORM_RULES
from tidemill.core.personal_data import Finding, find_personal_data, merge
from tidemill.core.suggest import did_you_mean
from tidemill.flows.injection import VERSION as INJECTION_RULES
from tidemill.flows.injection import find_injection
from tidemill.flows.providers import languages, presidio, profanity

Engine: TypeAlias = Literal["presidio", "rules"]
_FORMS: Final = ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS", "US_SSN")
_DEFAULT: Final = tuple(each for each in presidio.ENTITIES if each != "LOCATION")
_SENTENCE: Final = re.compile(r"[^.!?\n]+[.!?]*")


class PersonalData:
    """Finds personal data. `engine: presidio` also sees names (English); `rules` sees what has a form, and needs no extra.

    `entities` are the kinds to find; without, all but places. `threshold` is Presidio's confidence, 0 to 1.
    """

    name = "pii"

    def __init__(self, *, engine: Engine = "presidio", entities: Sequence[str] = (), threshold: float = 0.4) -> None:
        if engine not in {"presidio", "rules"}:
            raise Invalid(f"engine is {engine!r}, but should be presidio or rules", where="engine")
        known = presidio.ENTITIES if engine == "presidio" else _FORMS
        if isinstance(entities, str) or any(each not in known for each in entities):
            odd = (
                next((each for each in entities if each not in known), entities) if not isinstance(entities, str) else entities
            )
            raise Invalid(f"{engine} finds no {odd!r}", where="entities", hint=did_you_mean(str(odd), known))
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            raise Invalid(f"threshold is {threshold!r}, but should be from 0 to 1", where="threshold")
        self.version = FORM_RULES if engine == "rules" else f"{FORM_RULES}, {presidio.require_presidio()}"
        self._engine = engine
        self.entities = tuple(entities) or (_DEFAULT if engine == "presidio" else _FORMS)
        self.threshold = float(threshold)

    async def find(self, text: str) -> list[Finding]:
        """Every finding, by place."""
        found = [each for each in find_personal_data(text) if each.label in self.entities]
        if self._engine == "presidio" and text.strip():
            found += await anyio.to_thread.run_sync(
                lambda: presidio.find(text, entities=self.entities, threshold=self.threshold)
            )
        return merge(found)

    async def check(self, text: str) -> Sequence[tuple[int, int, str]]:
        """Every finding, labelled as in EMAIL_ADDRESS."""
        return [(each.start, each.end, each.label) for each in await self.find(text)]


class Profanity:
    """Finds sentences that are offensive with at least the chance `threshold`, 0 to 1 (English)."""

    name = "profanity"

    def __init__(self, *, threshold: float = 0.5) -> None:
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
            raise Invalid(f"threshold is {threshold!r}, but should be above 0 and at most 1", where="threshold")
        self.version = profanity.require_profanity()
        self._threshold = float(threshold)

    async def check(self, text: str) -> Sequence[tuple[int, int, str]]:
        """Every such sentence."""
        spans = [match.span() for match in _SENTENCE.finditer(text) if match[0].strip()]
        if not spans:
            return []
        sentences = [text[start:end] for start, end in spans]
        chances = await anyio.to_thread.run_sync(profanity.probabilities, sentences)
        found = zip(spans, chances, strict=True)
        return [(start, end, "profanity") for (start, end), chance in found if chance >= self._threshold]


class Language:
    """Finds a text that is in none of the languages `allow` (ISO 639-1). Texts too short to tell (`least` confidence) pass."""

    name = "language"

    def __init__(self, *, allow: Sequence[str] = ("en",), least: float = 0.5) -> None:
        if isinstance(allow, str) or not allow or not all(isinstance(each, str) and len(each) in {2, 3} for each in allow):
            raise Invalid("language needs allow, a list of codes", hint="Write check: {language: {allow: [en, de]}}.")
        if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
            raise Invalid(f"least is {least!r}, but should be from 0 to 1", where="least")
        self.version = languages.require_languages()
        self._allow = frozenset(allow)
        self._least = float(least)

    async def check(self, text: str) -> Sequence[tuple[int, int, str]]:
        """The whole text, when it is in another language."""
        if not text.strip():
            return []
        language, confidence = languages.language_of(text)
        if confidence < self._least or language in self._allow:
            return []
        return [(0, len(text), f"language_{language}")]


class PromptInjection:
    """Finds attempts to take the model over, by rules (see `injection.py` for what they see and miss). Needs no extra."""

    name = "prompt_injection"
    version = INJECTION_RULES

    async def check(self, text: str) -> Sequence[tuple[int, int, str]]:
        """Where a rule matches; the label is the rule's name."""
        found = await anyio.to_thread.run_sync(find_injection, text)
        return [(each.start, each.end, f"injection_{each.label.replace(' ', '_')}") for each in found]
