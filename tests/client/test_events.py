from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.client.events import ServerEvent, server_events


def read(*chunks: bytes) -> list[ServerEvent]:
    import anyio

    async def feed() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def collect() -> list[ServerEvent]:
        return [each async for each in server_events(feed())]

    return anyio.run(collect)


def test_names_data_comments_and_line_ends() -> None:
    assert read(b": hello\r\nevent: job\r\ndata: {}\r\n\r\ndata: a\ndata:b\n\n") == [
        ServerEvent(name="job", data="{}"),
        ServerEvent(name="message", data="a\nb"),
    ]


def test_a_line_separator_inside_text_does_not_cut_it() -> None:
    assert read('data: {"text":"a\u2028b\x85c"}\n\n'.encode())[0].data == '{"text":"a\u2028b\x85c"}'


def test_an_event_that_the_end_cuts_off_is_dropped() -> None:
    assert read(b"data: whole\n\ndata: ha") == [ServerEvent(name="message", data="whole")]


@given(st.data())
def test_where_the_bytes_are_cut_does_not_matter(data) -> None:
    content = 'event: delta\r\ndata: {"text":"é ü\u2028"}\r\n\r\ndata: 2\n\n'.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    assert read(*pieces) == read(content)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_each_line_end(end: bytes) -> None:
    assert read(b"data: x" + end + end + b"data: y" + end + end)[0].data == "x"
