"""Retrieve steps: search an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tidemill.core.digests import digest_json
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Hit, SpanKind, Version
from tidemill.data.specs import SearchMode
from tidemill.flows.results import Calls
from tidemill.flows.step import Call, Outcome, Run
from tidemill.prompts.fields import type_name
from tidemill.prompts.text import text_of
from tidemill.telemetry import genai

_MODES: Final[tuple[SearchMode, ...]] = ("vector", "fulltext", "hybrid")


class RetrieveWork:
    """A search by `query`, with the index's own `k` and `mode` unless the step says."""

    span_kind: SpanKind = "retriever"

    def __init__(self, index: Version, *, embedder: Version | None, mode: str | None) -> None:
        search = index.spec.get("search")
        own: JsonObject = search if isinstance(search, Mapping) else {}
        self._index = index
        self.index_digest = index.digest
        self._embedder = embedder
        k = own.get("k")
        self._k = k if isinstance(k, int) else 6
        self._mode: SearchMode = _mode(mode or own.get("mode") or ("hybrid" if embedder else "fulltext"))
        self.digest: str | None = digest_json([index.digest, self._mode, self._k])

    @property
    def embedder(self) -> Version | None:
        """What turns the query into a vector; None where the search is by text alone."""
        return None if self._mode == "fulltext" else self._embedder

    async def variation(self, run: Run) -> Sequence[Json]:  # noqa: ARG002  (the Protocol's argument)
        """Nothing: the same search finds the same."""
        return ()

    async def work(self, inputs: JsonObject, call: Call) -> Outcome:
        """Search. The output is a list of passages, best first."""
        filtered = inputs.get("filter")
        call.span.set(attributes={genai.INDEX: self.index_digest})
        hits = await call.run.engine.indexes.search(
            self._index,
            embedder=self._embedder,
            query=text_of(inputs.get("query")),
            k=self._size(inputs.get("k")),
            mode=self._mode,
            filter=filtered if isinstance(filtered, Mapping) else None,
            project=call.run.context.project,
            environment=call.run.context.environment,
            span=call.span,
            caller=call.run.context.asking,
        )
        value: Json = [passage(each) for each in hits]
        return Outcome(value=value, calls=Calls(retrieve=1, embed=hits.embedded), warm=hits.remembered)

    def _size(self, k: Json) -> int:
        if k is None:
            return self._k
        if isinstance(k, str) and k.isdecimal():
            k = int(k)
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= 1000:
            raise Invalid(f"k needs a whole number from 1 to 1000, not {type_name(k)} ({k!r})")
        return k


def _mode(value: Json) -> SearchMode:
    for known in _MODES:
        if value == known:
            return known
    raise Invalid(f"the search mode {value!r} is not known", hint="Known: vector, fulltext, hybrid.")


def passage(hit: Hit) -> JsonObject:
    """A hit as a passage; its place is `[start, end)` in characters of the document's text."""
    chunk = hit.chunk
    return {
        "id": chunk.id,
        "document": chunk.document,
        "text": chunk.text,
        "score": hit.score,
        "headings": list(chunk.headings),
        "start": chunk.start,
        "end": chunk.end,
    }
