"""Detectors that find what should not be stored, for the rules of `kind: telemetry`."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.core.personal_data import find_personal_data, merge
from tidemill.flows.providers import presidio
from tidemill.flows.safety_checks import PersonalData


class PersonalDataRedactor:
    """Personal data: what has a form, and names, by Presidio (English). Needs the extra `safety`."""

    name = "pii"

    def __init__(self, *, entities: Sequence[str] = (), threshold: float = 0.4) -> None:
        self._check = PersonalData(entities=entities, threshold=threshold)

    def find(self, text: str) -> Sequence[tuple[int, int, str]]:
        """Every finding, labelled as in EMAIL_ADDRESS. Milliseconds a text, and a second for the first."""
        wanted = self._check.entities
        found = [each for each in find_personal_data(text) if each.label in wanted]
        if any(each.isalpha() for each in text):
            found += presidio.find(text, entities=wanted, threshold=self._check.threshold)
        return [(each.start, each.end, each.label) for each in merge(found)]
