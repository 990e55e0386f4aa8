"""Datasets and indexes, as calls."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Literal, cast

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.core.chat import Vectors
from tidemill.core.json import Json, JsonObject
from tidemill.core.refs import parse_ref


class DataCalls(Calls):
    """Rows of datasets, and indexes."""

    async def samples(self, dataset: str, *, limit: int | None = None) -> Sequence[JsonObject]:
        """Rows of a dataset."""
        ref = parse_ref(dataset, kind="dataset")
        return await self._list(
            f"/datasets/{segment(ref.name)}/samples", JsonObject, params={"version": ref.version}, limit=limit
        )

    async def embed(self, embedder: str, texts: Sequence[str], *, dimensions: int | None = None) -> Vectors:
        """The vector of each text (2048 at most), by an embedder or a route of embedders."""
        body: dict[str, Json] = {"model": embedder, "input": list(texts), "encoding_format": "base64"}
        if dimensions is not None:
            body["dimensions"] = dimensions
        answer = cast("Mapping[str, Sequence[Mapping[str, str]]]", await self._line.ask("/v1/embeddings", body))
        rows = [b64decode(each["embedding"]) for each in answer["data"]]
        return Vectors(dimensions=len(rows[0]) // 4 if rows else 0, data=b"".join(rows))

    async def build_index(self, index: str) -> str:
        """Start to build an index; the job's id. What is built already is not built again."""
        name = _versioned(index, "index")
        return cast("Mapping[str, str]", await self._line.send("POST", f"/indexes/{segment(name)}:build"))["job"]

    async def search_index(
        self, index: str, query: str, *, k: int = 6, mode: Literal["vector", "fulltext", "hybrid"] = "hybrid"
    ) -> Sequence[JsonObject]:
        """The chunks of an index nearest to a query, best first."""
        name = _versioned(index, "index")
        body: JsonObject = {"query": query, "k": k, "mode": mode}
        found = await self._line.send("POST", f"/indexes/{segment(name)}:search", body=body)
        return cast("Mapping[str, Sequence[JsonObject]]", found)["items"]


def _versioned(ref: str, kind: str) -> str:
    parsed = parse_ref(ref, kind=kind)
    return parsed.name + (f"@{parsed.version}" if parsed.version else "")
