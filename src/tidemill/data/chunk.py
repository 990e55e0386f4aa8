"""The structure-aware chunker: no chunk crosses a heading that matters or a page, and every offset is exact."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Invalid
from tidemill.core.json import Json
from tidemill.core.records import Chunk, Document, Section
from tidemill.data.cut import Span, cut, pack, trim

VERSION = "structure/1"
_LONGEST_HEADING = 160
_INTERNAL = frozenset({"page_starts", "unreadable_pages"})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Segment:
    """A stretch of text under one path of headings, on one page."""

    start: int
    end: int
    headings: tuple[str, ...]
    page: int | None


class StructureChunker:
    """Cuts at headings and pages, then at paragraphs, list items, code blocks and sentences; packs up to `max_chars`.

    Sections shorter than `min_chars` are joined with what follows. `overlap` repeats that much of a chunk's end at the start of
    the next one of the same section.
    """

    def __init__(self, *, max_chars: int = 1200, min_chars: int = 200, overlap: int = 0) -> None:
        if max_chars < 1 or overlap < 0 or overlap * 2 > max_chars:
            raise Invalid(f"max_chars {max_chars} and overlap {overlap} do not go together", hint="overlap is at most half.")
        self._max = max_chars
        self._min = min(min_chars, max_chars)
        self._overlap = overlap

    def chunk(self, document: Document) -> Sequence[Chunk]:
        """Chunks in order; `metadata` is the document's with its `title`, and `page` where there are pages."""
        shared = {name: value for name, value in document.metadata.items() if name not in _INTERNAL}
        if document.title:
            shared["title"] = document.title
        chunks: list[Chunk] = []
        for segment in self._join(_segments(document)):
            for start, end in self._spans(document.text, segment):
                chunks.append(_chunk(document, segment, start, end, ordinal=len(chunks) + 1, shared=shared))
        return chunks

    def _join(self, segments: Iterator[_Segment]) -> Iterator[_Segment]:
        held: _Segment | None = None
        for segment in segments:
            if held is None:
                held = segment
            elif self._belong_together(held, segment):
                held = replace(held, end=segment.end, headings=_shared_path(held.headings, segment.headings))
            else:
                yield held
                held = segment
        if held is not None:
            yield held

    def _belong_together(self, first: _Segment, second: _Segment) -> bool:
        short = first.end - first.start < self._min
        return short and first.page == second.page and second.end - first.start <= self._max

    def _spans(self, text: str, segment: _Segment) -> Iterator[Span]:
        start, end = trim(text, segment.start, segment.end)
        if start < end:
            units = cut(text, start, end, limit=self._max)
            spans = pack(text, units, limit=self._max, overlap=self._overlap)
            yield from ((one, other) for one, other in spans if one < other)


def _segments(document: Document) -> Iterator[_Segment]:
    length = len(document.text)
    pages = cast("Sequence[int]", document.metadata.get("page_starts") or ())
    sections = sorted(
        (each for each in document.sections if 0 <= each.start < length), key=lambda each: (each.start, each.level)
    )
    cuts = sorted({0, length, *pages, *(each.start for each in sections), *(min(each.end, length) for each in sections)})
    waiting = iter(sections)
    following = next(waiting, None)
    open_: list[Section] = []
    for start, end in itertools.pairwise(cuts):
        open_ = [each for each in open_ if each.end > start]
        while following is not None and following.start <= start:
            open_.append(following)
            following = next(waiting, None)
        page = bisect.bisect_right(pages, start) if pages else None
        yield _Segment(start=start, end=end, headings=_path(document.title, open_), page=page)


def _path(title: str, sections: Sequence[Section]) -> tuple[str, ...]:
    names = tuple(_short(each.title) for each in sections)
    title = _short(title)
    return names if not title or names[:1] == (title,) else (title, *names)


def _short(title: str) -> str:
    """A heading that was never closed can be as long as its page."""
    return title if len(title) <= _LONGEST_HEADING else title[: _LONGEST_HEADING - 1] + "…"


def _shared_path(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """The path of two joined sections: the deeper one when one is within the other, else what they share."""
    if second[: len(first)] == first:
        return second
    shared = [one for one, other in zip(first, second, strict=False) if one == other]
    return tuple(shared)


def _chunk(document: Document, segment: _Segment, start: int, end: int, *, ordinal: int, shared: Mapping[str, Json]) -> Chunk:
    made = Chunk(
        id=f"{document.id}#{ordinal}",
        document=document.id,
        start=start,
        end=end,
        text=document.text[start:end],
        headings=segment.headings,
        metadata={**shared, "page": segment.page} if segment.page is not None else shared,
    )
    return replace(made, digest=digest_bytes(made.embedded_text.encode("utf-8", errors="surrogatepass")))
