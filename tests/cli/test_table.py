from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidemill.cli.screen import cells, clean, cut, one_line
from tidemill.cli.table import Cell, Column, table

METRICS = [
    ["recall_at_k", "0.790", "0.871", "+0.081", "[+0.02, +0.16]", "better"],
    ["token_f1", "0.412", "0.431", "+0.019", "[-0.03, +0.07]", "undecided: 62 samples can show 0.06; for 0.02 take 560"],
    ["cost per request", "$0.0011", "$0.0011", "0", "[0, 0]", "equivalent"],
    ["latency p50", "840 ms", "850 ms", "+10 ms", "[-30, +50]", "no worse (margin 100 ms)"],
]
COLUMNS = [
    Column("metric"),
    *(Column(each, "point") for each in ("a", "b", "difference")),
    Column("95% interval"),
    Column("verdict"),
]


def test_numbers_align_on_the_decimal_point_and_the_last_column_wraps() -> None:
    lines = table(COLUMNS, METRICS)
    assert max(map(len, lines)) <= 100
    body = lines[1:]
    latency = next(line for line in body if line.startswith("latency"))
    assert body[0].index(".790") == body[1].index(".412") == latency.index(" ms")
    assert "undecided: 62 samples can" in body[1]
    assert len(body) > len(METRICS)  # wrapped
    wrapped = body[2]
    assert wrapped.strip()
    assert len(wrapped) - len(wrapped.lstrip()) == body[0].index("better")


def test_a_long_reference_is_never_cut() -> None:
    ref = "dataset/" + "a" * 128
    assert ref in table([Column("reference"), Column("digest")], [[ref, "sha256:1"]])[1]


def test_wide_characters_keep_the_columns() -> None:
    lines = table([Column("a"), Column("b")], [["日本", "x"], ["abcd", "y"]])
    assert cells(lines[1][: lines[1].index("x")]) == lines[2].index("y")


def test_no_colour_without_a_terminal() -> None:
    assert table([Column("")], [[Cell("passed", "good")]], heading=False) == ["passed"]


def test_control_sequences_of_others_do_not_reach_the_screen() -> None:
    assert clean("a\x1b[2Jb\x1b]0;title\x07c\rd\tf\n") == "ab]0;titlecd\tf\n"


@given(st.text(), st.integers(2, 80))
def test_a_cut_text_fits(text: str, longest: int) -> None:
    assert cells(cut(one_line(text, longest=longest), longest)) <= longest


@given(st.lists(st.from_regex(r"[-+]?\$?[0-9]{1,4}(\.[0-9]{1,3})?( ms| s)?", fullmatch=True), min_size=1))
def test_points_stand_below_each_other(numbers: list[str]) -> None:
    lines = table([Column("x", "point")], [[each] for each in numbers])[1:]
    places = {line.index(".") for line, each in zip(lines, numbers, strict=True) if "." in each}
    assert len(places) <= 1
