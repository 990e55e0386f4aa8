# Made by scripts/sync_client.py from src/tidemill/client/data.py; change that file and run the script.
"""Datasets and indexes, as calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tidemill.client.sync.waiting import Waiting
from tidemill.core.chat import Vectors
from tidemill.core.json import JsonObject


class DataCalls(Waiting):
    """Rows of datasets, and indexes."""

    def samples(self, dataset: str, *, limit: int | None = None) -> Sequence[JsonObject]:
        """Rows of a dataset."""
        return self._wait(lambda: self._client.samples(dataset, limit=limit))

    def embed(self, embedder: str, texts: Sequence[str], *, dimensions: int | None = None) -> Vectors:
        """The vector of each text (2048 at most), by an embedder or a route of embedders."""
        return self._wait(lambda: self._client.embed(embedder, texts, dimensions=dimensions))

    def build_index(self, index: str) -> str:
        """Start to build an index; the job's id. What is built already is not built again."""
        return self._wait(lambda: self._client.build_index(index))

    def search_index(
        self, index: str, query: str, *, k: int = 6, mode: Literal["vector", "fulltext", "hybrid"] = "hybrid"
    ) -> Sequence[JsonObject]:
        """The chunks of an index nearest to a query, best first."""
        return self._wait(lambda: self._client.search_index(index, query, k=k, mode=mode))
