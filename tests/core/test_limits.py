"""`[limits]` in tidemill.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.core.errors import Invalid
from tidemill.core.limits import Limits, read_limits
from tidemill.core.settings import load_settings


def test_limits_are_read_from_the_project_file(tmp_path: Path) -> None:
    (tmp_path / "tidemill.toml").write_text('project = "p"\n[limits]\nbody_bytes = 67108864\nfiles = 9\n')
    limits = load_settings(tmp_path, {}).limits
    assert (limits.body_bytes, limits.files, limits.json_depth) == (67108864, 9, Limits().json_depth)
    assert read_limits(None) == Limits()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"body_byte": 1}, "body_bytes"),
        ({"files": 0}, "above 0"),
        ({"files": True}, "above 0"),
        ({"files": 1.5}, "above 0"),
        (3, "[limits]"),
    ],
)
def test_what_is_no_limit_is_told(given: object, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_limits(given)
    assert said in refused.value.hint
