"""Chunks that differ only in their text are read as all others are, whatever the text is and whatever comes between."""

from __future__ import annotations

import json

import hypothesis.strategies as st
from hypothesis import given

from tidemill.core.chat import Connection
from tidemill.models.events import ServerEvent
from tidemill.models.providers.openai_answers import StreamReader

CONNECTION = Connection(name="openai", provider="openai")
words = st.one_of(st.text(max_size=4), st.sampled_from(['"', "\\", "\n", "tide ", '"content":"', "}", "é😀", "\u2028"]))
chunks = st.fixed_dictionaries(
    {"words": words, "index": st.sampled_from([0, 0, 0, 1]), "model": st.sampled_from(["m", "m", "m", "n"])},
    optional={"number": st.integers(0, 9), "call": st.just(value=True), "finish": st.sampled_from(["stop"])},
)


def written(each, *, ascii_only, close):
    delta = {"content": each["words"]}
    if each.get("call"):
        delta["tool_calls"] = [{"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"content":"x"}'}}]
    choice = {"index": each["index"], "delta": delta, "finish_reason": each.get("finish")}
    chunk = {"id": "1", "model": each["model"], "choices": [choice]}
    if "number" in each:
        chunk["number"] = each["number"]
    return json.dumps(chunk, ensure_ascii=ascii_only, separators=(",", ":") if close else None)


def read_alone(data, reader):
    """The same chunk, read by one who has seen no other text."""
    reader._frame = type(reader._frame)()
    return list(reader.read(ServerEvent(data=data)))


@given(st.lists(chunks, max_size=12), st.booleans(), st.booleans())
def test_a_chunk_says_the_same_after_others_as_alone(those, ascii_only, close):
    first = written({"words": "", "index": 0, "model": "m"}, ascii_only=ascii_only, close=close)
    among, alone = StreamReader(CONNECTION), StreamReader(CONNECTION)
    for data in [first, first, *(written(each, ascii_only=ascii_only, close=close) for each in those)]:
        assert list(among.read(ServerEvent(data=data))) == read_alone(data, alone)


def test_the_text_alone_is_read_of_what_is_alike():
    reader = StreamReader(CONNECTION)
    texts = ["", "When ", "is ", 'high "water"', " at\n", "Husum", "?"]
    found = [
        delta.text
        for each in texts
        for delta in reader.read(
            ServerEvent(data=written({"words": each, "index": 0, "model": "m"}, ascii_only=True, close=False))
        )
    ]
    assert found == texts
    assert reader._frame.read('{"id": "1", "model": "m"}') is None
