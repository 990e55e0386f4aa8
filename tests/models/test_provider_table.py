"""The page of providers is what the code and the recordings say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import provider_table  # noqa: E402  (a script beside the package)


@pytest.mark.slow
def test_the_page_is_current():
    assert provider_table.page() == provider_table.PAGE.read_text("utf-8"), "run scripts/provider_table.py"


def test_what_needs_no_recordings_is_current():
    text = provider_table.PAGE.read_text("utf-8")
    for table in (provider_table.capabilities(), provider_table.options(), provider_table.parameters()):
        assert table in text, "run scripts/provider_table.py"
