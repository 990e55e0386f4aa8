from __future__ import annotations

from types import MappingProxyType

import orjson
import pytest

from telemetry.spans import make_span
from tidemill.telemetry.row import decode_value, encode_row, encode_value


@pytest.mark.parametrize("value", [None, 0, 1.5, True, "", 'tide\n"mill" é 潮', [], {"a": [1, None, {"b": "c"}]}, "null"])
def test_a_value_comes_back(value):
    assert decode_value(encode_value(value)) == value


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (MappingProxyType({"a": (1, 2)}), {"a": [1, 2]}),
        ("a\ud800b", "a?b"),
        ({"n": 2**70}, {"n": 2.0**70}),
        ({"\ud800": "x"}, {"?": "x"}),
        (b"bytes", "b'bytes'"),
    ],
)
def test_what_json_cannot_carry_is_written_as_text(value, read):
    assert decode_value(encode_value(value)) == read


def test_a_value_within_itself_does_not_stop_the_request():
    loop: list[object] = []
    loop.append(loop)
    assert "cannot be written" in str(decode_value(encode_value(loop)))


def test_a_huge_value_is_cut_and_says_so():
    text = decode_value(encode_value("x" * 3_000_000))
    assert len(text) < 300_000
    assert text.endswith("(3000002 bytes, cut short)")


def test_odd_names_do_not_stop_a_row():
    row = orjson.loads(encode_row(make_span(name="a\ud800b", attributes={"x": float("nan")})))
    assert (row["name"], row["attributes"], row["root"]) == ("a?b", {"x": "null"}, 1)


def test_an_object_that_cannot_be_shown_does_not_stop_the_request():
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert decode_value(encode_value({"a": Hostile()})) == {"a": "(a Hostile that cannot be shown)"}
