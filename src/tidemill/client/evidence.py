"""Calls for evidence: cards, bills of materials, signed packs."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import anyio.to_thread

from tidemill.client.calls import Calls
from tidemill.core.errors import Invalid
from tidemill.core.json import JsonObject


class EvidenceCalls(Calls):
    """What can be shown of a release. `release` is a digest, or an app or endpoint whose release is meant."""

    async def cards(self, release: str) -> JsonObject:
        """`system`, its system card, and `models`, a card each; `markdown` in each is the same to be read."""
        return cast("JsonObject", await self._line.send("GET", "/evidence/cards", params={"release": release}))

    async def bill_of_materials(self, release: str) -> JsonObject:
        """What it is made of, as CycloneDX 1.6."""
        return cast("JsonObject", await self._line.send("GET", "/evidence/bom", params={"release": release}))

    async def evidence(self, release: str, *, key: Path | None = None) -> bytes:
        """The signed pack, a zip file. `key`, a file here, signs it in place of the platform's; it is never sent."""
        pack = await self._line.fetch("POST", "/evidence", body={"release": release})
        if key is None:
            return pack
        from tidemill.govern.evidence import sign_again  # noqa: PLC0415  (what signs is loaded when asked to)

        return (await anyio.to_thread.run_sync(lambda: sign_again(pack, key=key)))[0]

    async def detect_watermark(self, text: str, *, model: str) -> JsonObject:
        """Test a text for a model's watermark: `verdict`, `z`, `p_value`, `green` of `pairs`."""
        return cast("JsonObject", await self._line.send("POST", "/evidence/watermark", body={"model": model, "text": text}))


def verify_pack(pack: Path, *, key: str = "") -> JsonObject:
    """Verify a pack here, offline. `key` is the fingerprint that must have signed it. Raises `Invalid` saying what is wrong."""
    from tidemill.govern.verify_evidence import Refused, verify  # noqa: PLC0415  (only to verify)

    try:
        return verify(pack, key=key)
    except Refused as refused:
        raise Invalid(str(refused), where=str(pack), hint="Ask for it again, from whom you trust.") from refused
