"""Approximate nearest neighbours for many vectors: HNSW, through faiss, on one thread.

Y. Malkov, D. Yashunin: "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small World
graphs", 2016. How far a search looks (`ef`) is tuned on the index's own vectors when it is built, against exact search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tidemill.core.errors import MissingExtra
from tidemill.data.rank import best

if TYPE_CHECKING:
    from tidemill.data.rank import Mask, Scores

VERSION = "hnsw/1"
LINKS, BUILD_EF = 32, 160
TARGET_RECALL = 0.995
_EFS = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
_PROBES = 200
_NEIGHBOURS = 10


class Hnsw:
    """Unit vectors by their number, searchable by inner product."""

    def __init__(self, graph: Any, ef: int) -> None:
        self._graph = graph
        self.ef = ef

    @classmethod
    def build(cls, vectors: Scores) -> Hnsw:
        """Build the graph; a few minutes for 100,000 vectors of 384 dimensions."""
        faiss = _faiss()
        faiss.omp_set_num_threads(1)
        graph = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = BUILD_EF
        graph.add(vectors)
        made = cls(graph, _EFS[0])
        made.ef = made._tune(vectors)
        return made

    def search(self, query: Scores, *, k: int, mask: Mask | None) -> list[tuple[int, float]]:
        """The `k` nearest among those the mask lets through, best first."""
        faiss = _faiss()
        faiss.omp_set_num_threads(1)
        parameters = faiss.SearchParametersHNSW(efSearch=max(self.ef, k))
        if mask is not None:
            import numpy as np  # noqa: PLC0415  (heavy)

            bits = np.packbits(mask, bitorder="little")
            parameters.sel = faiss.IDSelectorBitmap(len(mask), faiss.swig_ptr(bits))
        scores, places = self._graph.search(query.reshape(1, -1), k, params=parameters)
        found = places[0] >= 0
        return best(scores[0][found], places[0][found], k=k)

    def rows(self) -> Scores:
        """The vectors themselves, without a copy."""
        faiss = _faiss()
        count, width = self._graph.ntotal, self._graph.d
        flat = faiss.rev_swig_ptr(faiss.downcast_index(self._graph.storage).get_xb(), count * width)
        return cast("Scores", flat.reshape(count, width))

    def dump(self) -> bytes:
        """The graph with its vectors, as faiss writes it."""
        return cast("bytes", _faiss().serialize_index(self._graph).tobytes())

    @classmethod
    def load(cls, content: bytes, *, ef: int) -> Hnsw:
        """Read what `dump` wrote."""
        import numpy as np  # noqa: PLC0415  (heavy)

        return cls(_faiss().deserialize_index(np.frombuffer(content, dtype=np.uint8)), ef)

    def _tune(self, vectors: Scores) -> int:
        """The least `ef` that finds 99.5 % of the exact neighbours of points between an indexed vector and another."""
        import numpy as np  # noqa: PLC0415  (heavy)

        random = np.random.default_rng(0)
        count = min(_PROBES, len(vectors))
        one, other = (vectors[random.choice(len(vectors), count, replace=False)] for _ in range(2))
        probes = np.ascontiguousarray(0.7 * one + 0.3 * other, dtype=np.float32)
        exact = np.argpartition(-(probes @ vectors.T), _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
        faiss = _faiss()
        for ef in _EFS:
            _, places = self._graph.search(probes, _NEIGHBOURS, params=faiss.SearchParametersHNSW(efSearch=ef))
            found = sum(len(np.intersect1d(mine, theirs)) for mine, theirs in zip(places, exact, strict=True))
            if found >= TARGET_RECALL * exact.size:
                return ef
        return _EFS[-1]


def _faiss() -> Any:
    try:
        import faiss  # noqa: PLC0415  (heavy)
    except ModuleNotFoundError as error:
        raise MissingExtra("rag", needed_for="vector search over many chunks") from error
    return cast("Any", faiss)
