from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidemill.telemetry.spool.frames import decode_frames, encode_frame

payloads = st.lists(st.binary(max_size=60) | st.just(encode_frame(b"a frame within a frame")), max_size=8)


@given(payloads)
def test_what_is_written_is_read(contents):
    decoded = decode_frames(b"".join(map(encode_frame, contents)), final=True)
    assert (list(decoded.payloads), decoded.skipped) == (contents, 0)


@given(payloads, st.data())
def test_a_torn_tail_loses_only_the_last_frame(contents, data):
    whole = b"".join(map(encode_frame, contents))
    last = encode_frame(b"the last one")
    cut = data.draw(st.integers(0, len(last) - 1))
    decoded = decode_frames(whole + last[:cut], final=True)
    assert list(decoded.payloads) == contents
    assert decoded.skipped == cut


@given(payloads, st.data())
def test_reading_in_pieces_gives_the_same(contents, data):
    whole = b"".join(map(encode_frame, contents))
    cut = data.draw(st.integers(0, len(whole)))
    first = decode_frames(whole[:cut], final=False)
    second = decode_frames(whole[first.end :], final=True)
    assert [*first.payloads, *second.payloads] == contents
    assert first.skipped == second.skipped == 0


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=3, max_size=8), st.data())
def test_a_damaged_byte_loses_one_frame_and_invents_none(contents, data):
    frames = list(map(encode_frame, contents))
    hit = data.draw(st.integers(0, len(frames) - 1))
    place = data.draw(st.integers(0, len(frames[hit]) - 1))
    damaged = bytearray(frames[hit])
    damaged[place] ^= data.draw(st.integers(1, 255))
    decoded = decode_frames(b"".join([*frames[:hit], bytes(damaged), *frames[hit + 1 :]]), final=True)
    assert list(decoded.payloads) == contents[:hit] + contents[hit + 1 :]
    assert decoded.skipped == len(frames[hit])
