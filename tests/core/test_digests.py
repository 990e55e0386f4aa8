from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.digests import artifact_digest, canonical, digest_bytes, digest_file
from tidemill.core.errors import Invalid

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "digests.md"
VECTOR = re.compile(r"```json\n(.*?)```\n\n```text\n(.*?)\n```\n\n`(sha256:[0-9a-f]{64})`", re.DOTALL)
VECTORS = VECTOR.findall(PAGE.read_text("utf-8"))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)))
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner),
    max_leaves=20,
)


def test_ten_vectors_are_published():
    assert len(VECTORS) == 10


@pytest.mark.parametrize(("source", "text", "digest"), VECTORS)
def test_published_vector(source, text, digest):
    artifact = json.loads(source)
    assert canonical({"schema": "tidemill/1", **artifact}).decode() == text
    assert f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" == digest
    made = artifact_digest(artifact["kind"], spec=artifact["spec"], refs=artifact["refs"], blobs=artifact["blobs"])
    assert made == digest


def test_the_example_of_rfc_8785():
    numbers = json.loads("[333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001]")
    text = json.loads(r'"\u20ac$\u000F\u000aA' + r"'\u0042\u0022\u005c\\\"\/" + '"')
    made = canonical({"numbers": numbers, "string": text, "literals": [None, True, False]})
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert made.decode() == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (9.999999999999997e22, "9.999999999999997e+22"),
        (0.000001, "0.000001"),
        (1e-7, "1e-7"),
        (123e-20, "1.23e-18"),
        (-1.5, "-1.5"),
        (1.0, "1"),
    ],
)
def test_numbers_as_ecmascript_writes_them(value, text):
    assert canonical(value).decode() == text


@given(values)
def test_canonical_bytes_are_the_same_json_and_a_fixed_point(value):
    made = canonical(value)
    # A whole float beyond 2^53 is written without a fraction, and Python reads that as an integer.
    read = json.loads(made, parse_int=lambda text: int(text) if abs(int(text)) < 2**53 else float(text))
    assert canonical(read) == made


@given(st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), scalars))
def test_the_order_of_keys_does_not_matter(value):
    assert canonical(dict(reversed(value.items()))) == canonical(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, -(2**53), "\ud800", {"a": b"bytes"}, {1: "x"}, object()])
def test_what_json_cannot_carry_is_refused(value):
    with pytest.raises(Invalid):
        canonical(value)


def test_nesting_without_end_is_refused():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Invalid, match="nested too deeply"):
        canonical(deep)


def test_a_files_digest_is_that_of_its_bytes(tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 300_000)
    assert digest_file(tmp_path / "f") == digest_bytes(b"x" * 300_000)
