"""The checks of `make docs` as a test, and what a page may not hold."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", *(ROOT / "changelog.d").glob("*.md")])


def test_the_documentation_is_whole() -> None:
    ended = subprocess.run(
        (sys.executable, "scripts/check_docs.py"), cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_no_path_or_token_of_a_machine(page: Path) -> None:
    text = page.read_text("utf-8")
    assert not re.search(r"/(?:work|tmp|home|Users|root)/", text)
    assert not re.search(r"tm_(?!admin_…)[0-9a-z]+_[A-Za-z0-9_-]{16,}", text), "a token"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_of_pages_fit(page: Path) -> None:
    in_block = False
    for number, line in enumerate(page.read_text("utf-8").splitlines(), start=1):
        in_block ^= line.startswith("```")
        if not in_block and not line.startswith(("|", "    ")) and "](" not in line:
            assert len(line) <= 160, f"{page.name}:{number}"
