"""What `tidemill traces` says of a mistake on its command line, before anything is asked of a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.cli.traces_more import export
from tidemill.cli.traces_query import compare
from tidemill.core.errors import Invalid

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("a", "b"), [("48h", "24h"), ("2026-11-01", "2026-11-02"), ("48h..24h", "1d"), ("2026-11-01T12:00", "x")]
)
async def test_a_time_without_an_end_is_no_release(a: str, b: str) -> None:
    with pytest.raises(Invalid, match="is a time without an end"):
        await compare(a, b)


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"there is no folder .*nowhere") as caught:
        await export(tmp_path / "nowhere" / "week.jsonl")
    assert "mkdir" in caught.value.hint
    assert not (tmp_path / "nowhere").exists()
