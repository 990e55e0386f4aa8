"""Full-text search by BM25, through bm25s: scores are computed when the index is built, and only added up in a search.

S. Robertson, H. Zaragoza: "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; in Lucene's variant.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from tidemill.core.errors import MissingExtra
from tidemill.data.words import words

if TYPE_CHECKING:
    from tidemill.data.rank import Scores

K1, B = 1.2, 0.75
VERSION = f"bm25/1 k1={K1} b={B}"


class Bm25:
    """Texts by their number, searchable by words."""

    def __init__(self, engine: Any, vocabulary: dict[str, int], count: int) -> None:
        self._engine = engine
        self._vocabulary = vocabulary
        self._count = count

    @classmethod
    def build(cls, texts: Sequence[str]) -> Bm25:
        """Index texts; a text's number is its place."""
        vocabulary: dict[str, int] = {}
        ids = [[vocabulary.setdefault(word, len(vocabulary)) for word in words(text)] for text in texts]
        engine = _engine()
        if vocabulary:
            tokens = list(range(len(vocabulary)))
            engine.index((ids, {str(each): each for each in tokens}), create_empty_token=False, show_progress=False)
        return cls(engine, vocabulary, len(texts))

    def scores(self, query: str) -> Scores | None:
        """The score of every text; None when no word of the query occurs anywhere."""
        known = [place for each in dict.fromkeys(words(query)) if (place := self._vocabulary.get(each)) is not None]
        if not known:
            return None
        return cast("Scores", self._engine.get_scores_from_ids(known))

    def dump(self) -> bytes:
        """All of it as bytes that `load` reads; never pickled."""
        import numpy as np  # noqa: PLC0415  (heavy)

        vocabulary = json.dumps(list(self._vocabulary), ensure_ascii=True).encode()
        arrays = {"vocabulary": np.frombuffer(vocabulary, dtype=np.uint8), "count": np.array([self._count])}
        if self._vocabulary:
            arrays |= {name: self._engine.scores[name] for name in ("data", "indices", "indptr")}
        sink = io.BytesIO()
        np.savez(sink, allow_pickle=False, **arrays)
        return sink.getvalue()

    @classmethod
    def load(cls, content: bytes) -> Bm25:
        """Read what `dump` wrote."""
        engine = _engine()
        import numpy as np  # noqa: PLC0415  (heavy)

        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            names = cast("list[str]", json.loads(arrays["vocabulary"].tobytes()))
            count = int(arrays["count"][0])
            if names:
                engine.scores = {name: arrays[name] for name in ("data", "indices", "indptr")} | {"num_docs": count}
        engine.nonoccurrence_array = None
        return cls(engine, {name: place for place, name in enumerate(names)}, count)


def _engine() -> Any:
    try:
        import bm25s  # noqa: PLC0415  (heavy)
    except ModuleNotFoundError as error:
        raise MissingExtra("rag", needed_for="full-text search") from error
    # Importing it sets its logger to DEBUG, which would show in every server's log.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    return cast("Any", bm25s.BM25(method="lucene", k1=K1, b=B, backend="numpy"))
