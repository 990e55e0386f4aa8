"""What is searched for in traces, and by meaning: the project's embedder, or the one that runs here, and the span store."""

from __future__ import annotations

import array
from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import Field

from tidemill.api.caller import Body, Caller, Limit, Page, page
from tidemill.core.errors import Invalid
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.models.caller import Caller as Internal
from tidemill.models.service import Models
from tidemill.store.registry import get_version
from tidemill.telemetry.expression import Expression

_LOCAL: Final = "local/all-minilm-l6-v2"


class Search(Body):
    """Words that a span holds, or in the mode `semantic` what its input or output means; `filter` narrows it."""

    text: str = Field("", max_length=8000)
    filter: str | None = Field(None, max_length=8000)
    from_: str | None = Field(None, alias="from")
    to: str | None = None
    limit: Limit = 50
    mode: Literal["words", "semantic"] = "words"
    budget: int = Field(256, ge=0, le=4096)
    """How many texts may be embedded for this question, the newest first; only in the mode `semantic`."""
    embedder: str | None = None
    """Which embedder, as in `embedder/NAME`; else the one that runs here. Only in the mode `semantic`."""


class ModelEmbedder:
    """An embedder of the registry, or the local one, as the span store wants it."""

    def __init__(self, models: Models, version: Version, *, environment: str) -> None:
        self.name = version.digest or _LOCAL
        self._models = models
        self._version = version
        self._environment = environment

    async def __call__(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """The vectors, in order. Raises what the embedder's provider does."""
        asking = Internal.internal(self._version.project, self._environment)
        found = await self._models.embed(self._version, texts, caller=asking)
        vectors = found.vectors
        return [array.array("f", vectors.row(place)).tolist() for place in range(vectors.count)]


async def search_by_meaning(
    call: Caller, body: Search, expression: Expression, *, from_ns: int | None, to_ns: int | None
) -> Page:
    """Traces by how near an input or output of theirs is to the text, with `similarity`; and what was looked at."""
    if not body.text.strip():
        raise Invalid("nothing is searched for", where="text", hint="Say in a sentence what the traces are about.")
    embedder = await _embedder(call, body.embedder)
    telemetry = call.platform.telemetry
    found = await telemetry.search_by_meaning(
        call.project, body.text, embedder=embedder, filter=expression, limit=body.limit, budget=body.budget, from_ns=from_ns,
        to_ns=to_ns, now_ns=call.platform.clock.now_ns(),
    )  # fmt: skip
    items: list[Any] = list(found.items)
    return {**page(items), "texts": found.texts, "covered": found.covered, "embedded": found.embedded}


async def _embedder(call: Caller, reference: str | None) -> ModelEmbedder:
    if reference is None:
        version = Version(
            project=call.project,
            kind="embedder",
            name="local",
            number=0,
            digest="",
            spec={"provider": "local", "model": "all-minilm-l6-v2"},
        )
    else:
        ref = parse_ref(reference, kind="embedder")
        version = await call.platform.database.read(lambda db: get_version(db, call.project, ref))
    return ModelEmbedder(call.platform.models, version, environment=call.platform.settings.environment)
