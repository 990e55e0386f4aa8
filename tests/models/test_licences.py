"""Licences: right names in, verdicts out."""

from __future__ import annotations

import pytest

from tidemill.core.errors import Invalid
from tidemill.models.licences import judge, licence_of_name, parse_licence, read_licence


@pytest.mark.parametrize(
    ("text", "licence"), [("apache-2.0", "Apache-2.0"), (" MIT ", "MIT"), ("LicenseRef-Ours-1", "LicenseRef-Ours-1")]
)
def test_an_identifier_in_its_right_spelling(text: str, licence: str) -> None:
    assert parse_licence(text) == licence


@pytest.mark.parametrize(
    ("text", "meant"),
    [("GPLv3", "GPL-3.0-only"), ("Apache 2.0", "Apache-2.0"), ("llama3.1", "LicenseRef-Llama-3.1"), ("free", "")],
)
def test_anything_else_is_refused_with_what_was_meant(text: str, meant: str) -> None:
    with pytest.raises(Invalid, match="not an SPDX") as refused:
        parse_licence(text)
    assert meant in refused.value.hint


def test_what_a_file_says_is_read_leniently() -> None:
    assert read_licence("apache-2.0") == "Apache-2.0"
    assert read_licence("llama3.1") == "LicenseRef-Llama-3.1"
    assert read_licence("other") == ""


@pytest.mark.parametrize(
    ("licence", "word"),
    [("MIT", "permissive"), ("GPL-3.0-only", "conditions"), ("CC-BY-NC-4.0", "non_commercial"), ("LicenseRef-Ours", "unknown")],
)
def test_verdicts(licence: str, word: str) -> None:
    assert judge(licence).word == word
    assert judge(licence).reason


def test_licences_of_families_are_of_the_right_sizes() -> None:
    assert licence_of_name("qwen-2-5-7b-instruct") == "Apache-2.0"
    assert licence_of_name("qwen-2-5-72b-instruct") == "LicenseRef-Qwen"
    assert licence_of_name("qwen-2-5-3b-instruct") == "LicenseRef-Qwen-Research"
    assert licence_of_name("gpt-4o") == ""
