from __future__ import annotations

import sys
from pathlib import Path

from tidemill.telemetry.dialects import dialects
from tidemill.telemetry.dialects.coverage import coverage

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts"))

import dialect_table  # noqa: E402  (a script beside the package)


def test_the_page_is_current():
    text = dialect_table.PAGE.read_text("utf-8")
    assert dialect_table.page() == text, "run scripts/dialect_table.py"
    assert all(f"| `{each.name}` |" in text for each in dialects())


def test_most_of_what_libraries_send_is_understood():
    for name, spans in dialect_table.files(dialect_table.RECORDED).items():
        made = coverage(spans)
        assert made.read > 0, name
