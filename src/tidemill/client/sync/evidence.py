# Made by scripts/sync_client.py from src/tidemill/client/evidence.py; change that file and run the script.
"""Calls for evidence: cards, bills of materials, signed packs."""

from __future__ import annotations

from pathlib import Path

from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import JsonObject


class EvidenceCalls(Waiting):
    """What can be shown of a release. `release` is a digest, or an app or endpoint whose release is meant."""

    def cards(self, release: str) -> JsonObject:
        """`system`, its system card, and `models`, a card each; `markdown` in each is the same to be read."""
        return self._wait(lambda: self._client.cards(release))

    def bill_of_materials(self, release: str) -> JsonObject:
        """What it is made of, as CycloneDX 1.6."""
        return self._wait(lambda: self._client.bill_of_materials(release))

    def evidence(self, release: str, *, key: Path | None = None) -> bytes:
        """The signed pack, a zip file. `key`, a file here, signs it in place of the platform's; it is never sent."""
        return self._wait(lambda: self._client.evidence(release, key=key))

    def detect_watermark(self, text: str, *, model: str) -> JsonObject:
        """Test a text for a model's watermark: `verdict`, `z`, `p_value`, `green` of `pairs`."""
        return self._wait(lambda: self._client.detect_watermark(text, model=model))
