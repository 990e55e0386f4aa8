"""What `tidemill tune` prints, and what it refuses before it asks anybody."""

from __future__ import annotations

from tidemill.cli.curve import curve
from tidemill.cli.tune import print_estimate, print_tune


def test_a_curve_falls_from_its_scale_to_zero():
    lines = curve([8.0, 4.0, 2.0, 1.0, 0.0], rows=4)
    assert lines == ["   8.00 █", "        █", "        ██", "   0.00 ███▄"]


def test_a_long_curve_is_averaged_and_an_empty_one_is_nothing():
    assert max(map(len, curve([1.0] * 1000, columns=50))) == 8 + 50
    assert curve([]) == []
    assert curve([0.0, 0.0])[-1].strip() == "0.00"


def test_a_file_without_a_tune_and_one_that_is_not_there_are_refused(tidemill, tmp_path):
    (tmp_path / "other.yaml").write_text("kind: model\nname: m\nprovider: test\n")
    ended = tidemill("tune", "other.yaml")
    assert (ended.code, "has no document of kind tune" in ended.err) == (2, True)
    (tmp_path / "two.yaml").write_text("kind: tune\nname: a\n---\nkind: tune\nname: b\n")
    ended = tidemill("tune", "two.yaml")
    assert (ended.code, "has 2 tunes: tune/a, tune/b" in ended.err) == (2, True)
    ended = tidemill("tune", "gone.yaml")
    assert (ended.code, "there is no file gone.yaml" in ended.err) == (2, True)
    ended = tidemill("tune", "model/x")
    assert (ended.code, "a tune is needed here" in ended.err) == (2, True)
    ended = tidemill("tune", "tune/none")
    assert (ended.code, "tune/none" in ended.err) == (3, True)


def test_an_estimate_and_a_run_are_told_in_a_few_lines(capsys):
    print_estimate("tune/router", {"rows": 240, "steps": 50, "epochs": 1.67, "tokens": 17200, "minutes": 1.7, "speed": 228.0,
                                   "measured": True, "memory_mb": 1900, "notes": ["2 rows repeat another row"]})  # fmt: skip
    print_tune({"id": "1", "tune": "tune/router@v1", "status": "failed", "error": "the loss is nan at step 4",
                "progress": {"done": 3, "total": 50, "unit": "steps"}, "losses": [3.0, 2.0, 1.5]})  # fmt: skip
    said = capsys.readouterr().out
    for each in (
        "240 rows, 50 steps, 1.67 epochs", "17,200 tokens, about 2 min at 228 tokens/s as measured here", "1.9 GB",
        "note      2 rows repeat another row", "failed  3 of 50 steps", "3.000 at first, 1.500 at last", "the loss is nan",
    ):  # fmt: skip
        assert each in said, each
    assert "Next" not in said
