"""An error shows the line that it is about, but never one that may hold a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.cli.failures import with_source


@pytest.mark.parametrize(
    "line",
    [
        "api_key: sk-12345",
        "headers: {Authorization: Bearer sk-12345}",
        "base_url: https://me:sk-12345@models.example/v1",
        "{kind: connection, name: mine, provider: openai, api_key: sk-12345}",
    ],
)
def test_a_secret_that_was_written_as_text_is_not_shown(tmp_path: Path, line: str) -> None:
    (tmp_path / "app.yaml").write_text(f"{line}\nk: 3\n", "utf-8")
    assert with_source("app.yaml:1", tmp_path) == "app.yaml:1"
    assert with_source("app.yaml:2", tmp_path) == "app.yaml:2    k: 3"
