"""Vector search: exact while there are few vectors, approximate beyond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from tidemill.core.errors import Invalid, MissingExtra
from tidemill.data.providers.hnsw import Hnsw
from tidemill.data.rank import best

if TYPE_CHECKING:
    from tidemill.data.rank import Mask, Scores

EXACT_LIMIT = 20_000
"""Up to so many candidates every one is compared, which takes a few milliseconds."""


class VectorSearch(Protocol):
    """Finds the nearest of the vectors that it holds."""

    def search(self, query: Scores, *, k: int, mask: Mask | None) -> list[tuple[int, float]]:
        """Places and cosines of the `k` nearest among those the mask lets through, best first."""
        ...


class ExactVectors:
    """Compares with every vector."""

    def __init__(self, rows: Scores) -> None:
        self._rows = rows

    def search(self, query: Scores, *, k: int, mask: Mask | None) -> list[tuple[int, float]]:
        """Places and cosines of the `k` nearest among those the mask lets through, best first."""
        import numpy as np  # noqa: PLC0415  (heavy)

        if mask is None:
            return best(self._rows @ query, np.arange(len(self._rows)), k=k)
        places = np.flatnonzero(mask)
        return best(self._rows[places] @ query, places, k=k)


class ManyVectors:
    """A graph of all vectors; exact where a filter leaves few."""

    def __init__(self, graph: Hnsw) -> None:
        self._graph = graph
        self._exact = ExactVectors(graph.rows())

    def search(self, query: Scores, *, k: int, mask: Mask | None) -> list[tuple[int, float]]:
        """Places and cosines of the `k` nearest among those the mask lets through, best first."""
        few = mask is not None and int(mask.sum()) <= EXACT_LIMIT
        return (self._exact if few else self._graph).search(query, k=k, mask=mask)


def pack_rows(vectors: Sequence[bytes]) -> Scores:
    """Vectors of little-endian floats as rows of length 1; one of zeros stays as it is. Raises `Invalid` if widths differ."""
    try:
        import numpy as np  # noqa: PLC0415  (heavy)
    except ModuleNotFoundError as error:
        raise MissingExtra("rag", needed_for="vector search") from error
    widths = {len(each) for each in vectors}
    if len(widths) > 1:
        raise Invalid(
            f"the embedder gave vectors of {' and '.join(str(each // 4) for each in sorted(widths))} dimensions",
            hint="Give the embedder another name, so that old vectors are not used with it.",
        )
    rows = np.frombuffer(b"".join(vectors), dtype="<f4").reshape(len(vectors), -1).astype(np.float32)
    if not np.isfinite(rows).all():
        raise Invalid("the embedder gave vectors that hold NaN or infinity", hint="Check the embedder.")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths == 0, np.float32(1), lengths).astype(np.float32)
