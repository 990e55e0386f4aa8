"""What stands for a user's value."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import sqlite3
import uuid
from pathlib import PurePosixPath

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.telemetry.instrument import values


class Colour(enum.Enum):
    red = "r"


@dataclasses.dataclass
class Point:
    x: int
    key: str = dataclasses.field(default="hidden", repr=False)


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str
    password: pydantic.SecretStr = pydantic.SecretStr("hush")


@attrs.define
class Attrs:
    x: int


class Struct(msgspec.Struct):
    x: int


class Evil:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class EvilMapping(dict):
    def items(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Point(1), {"x": 1}),
        (Model(name="n", more=1), {"name": "n", "password": "(not recorded)", "more": 1}),
        (Attrs(1), {"x": 1}),
        (Struct(1), {"x": 1}),
        (Colour.red, "r"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("a/b"), "a/b"),
        (b"abc", "(3 bytes)"),
        ({1: (2, {3})}, {"1": [2, [3]]}),
        (float("nan"), None),
        (2**70, "(an integer of 71 bits)"),
        (10**5000, "(an integer of 16610 bits)"),
        (ValueError("x"), "ValueError: x"),
        (Evil(), f"(a {__name__}.Evil)"),
        (EvilMapping(a=1), f"(a {__name__}.EvilMapping that cannot be recorded)"),
        ({"api_key": "k", "Authorization": "b"}, {"api_key": "(not recorded)", "Authorization": "b"}),
        ("half \ud800", "half ?"),
        (True, True),
        (None, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_stands_for_it(value, said) -> None:
    assert json.loads(values.encode(value)) == said


def test_an_object_that_is_no_data_is_named_and_not_opened() -> None:
    assert json.loads(values.encode(sqlite3.connect(":memory:"))) == "(a sqlite3.Connection)"


def test_it_is_bounded() -> None:
    own: list = [1]
    own.append(own)
    for value in ("x" * 10**7, ["y" * 1000] * 10**5, list(range(10**6)), {str(n): n for n in range(10**5)}, own):
        assert len(values.encode(value)) < values.LARGEST * 1.2
    assert values.encode("x" * 10**6).endswith('(1000000 characters, cut short)"')


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    )
)
def test_anything_becomes_json(value) -> None:
    json.loads(values.encode(value))
