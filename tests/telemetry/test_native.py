from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from telemetry.spans import make_span
from tidemill.telemetry.engine import native
from tidemill.telemetry.engine.native import decode_blocks, encode_block
from tidemill.telemetry.row import encode_spans

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=300)
COLUMNS = {
    native.TEXT: texts,
    native.TEXTS: st.lists(texts, max_size=3),
    native.PAIRS: st.dictionaries(texts, texts, max_size=3),
    native.COUNT: st.integers(0, 2**64 - 1),
    native.FLAG: st.integers(0, 255),
    native.NUMBER: st.floats(allow_nan=False),
    native.PERHAPS: st.none() | st.floats(allow_nan=False),
    native.MOMENT: st.integers(-(2**63), 2**63 - 1),
    native.TRACE: st.text("0123456789abcdef", min_size=32, max_size=32),
    native.SPAN: st.text("0123456789abcdef", min_size=16, max_size=16),
}
rows = st.lists(st.tuples(*COLUMNS.values()), min_size=1, max_size=4)


@given(rows, rows)
def test_what_is_written_is_read(first, second):
    columns = [(f"c{number}", kind) for number, kind in enumerate(COLUMNS)]
    found = decode_blocks(encode_block(columns, first) + encode_block(columns, second))
    assert [tuple(row.values()) for row in found] == [*first, *second]


@pytest.mark.parametrize(
    "odd",
    [
        {"trace_id": "0" * 33},
        {"span_id": "é" * 16},
        {"name": "a\ud800b"},
        {"tokens_in": -1},
        {"tokens_out": 2**64},
        {"start_ns": 2**63},
    ],
)
def test_what_no_column_holds_makes_no_block(odd):
    ids = {key: odd.pop(key) for key in ("trace_id", "span_id") if key in odd}
    assert encode_spans([make_span(0), replace(make_span(1, **odd), **ids)]) is None


def test_a_block_that_ends_early_is_told():
    block = encode_block([("a", native.TEXT)], [("text",)])
    with pytest.raises(ValueError, match="ends early"):
        decode_blocks(block[:-1])
