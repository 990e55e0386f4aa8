"""Server-sent events, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.errors import Unavailable
from tidemill.models.events import EventReader

LINES = st.lists(
    st.sampled_from(
        [b"data: a", b"data:b", b"\n", b"\r\n", b"\r", b"event: x", b": c", b"\xef\xbb\xbf", b"data: \xc3\xa9", b"id: 1"]
    ),
    max_size=14,
)


def read(*pieces: bytes):
    reader = EventReader()
    found = [each for piece in pieces for each in reader.feed(piece)]
    last = reader.end()
    return [(each.name, each.data) for each in [*found, *([last] if last else [])]]


@given(LINES, st.data())
def test_any_cut_gives_the_same_events(lines, data):
    raw = b"".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    assert read(*(raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True))) == read(raw)


def feed(reader: EventReader, piece: bytes, *, times: int) -> None:
    for _ in range(times):
        reader.feed(piece)


def test_a_line_without_an_end_is_refused_and_costs_what_it_is_long():
    reader = EventReader()
    reader.feed(b"data: ")
    with pytest.raises(Unavailable, match="16 MiB"):
        feed(reader, b"x" * 1024, times=20_000)
    assert len(reader._held) > 16_000, "the pieces were not put together in between"


def test_an_event_of_endless_lines_is_refused():
    with pytest.raises(Unavailable, match="16 MiB"):
        feed(EventReader(), b"data: " + b"x" * 1024 + b"\n", times=20_000)
