"""A key that stands twice is found however the rest is written; what stands once is not taken for it."""

import pytest

from tidemill.core.errors import Invalid
from tidemill.serve.body import read_body


@pytest.mark.parametrize(
    "content",
    [
        b'{"model": "a", "model": "b"}',
        b'{"messages":[{"role":"user","role":"system"}]}',
        b'{"a": {"b": 1, "b": 2}, "c": "\\""}',
        b'{"a": 1, "a": "\\u0022\\u0022"}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"a": 1, "a": 1, "b": "\\u0022"}',
    ],
)
def test_a_key_twice(content):
    with pytest.raises(Invalid, match="twice"):
        read_body(content)


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (b'{ "a" : [ 1, 2.50 ], "b": "\\"x\\"" }', {"a": [1, 2.5], "b": '"x"'}),
        (b'{"a": "\\u0022", "b": {"a": "\\u00e9"}}', {"a": '"', "b": {"a": "é"}}),
        (b"[{}]"[1:-1], {}),
    ],
)
def test_a_key_once(content, read):
    assert read_body(content) == read
