"""Lines for a person and for a machine, and what never stands in one."""

from __future__ import annotations

import io
import json
import logging

import pytest

from tidemill.core import logs
from tidemill.core.errors import Invalid


@pytest.mark.parametrize(
    "secret",
    [
        "tm_01a1ffb1_abcdefghijklmnopqrstuvwxyz012345",
        "Authorization: Bearer abcdefghijkl",
        "x-api-key: sk-abcdefghijklmnopqrstu",
        "/login?code=abcdefghijkl",
        "{'password': 'hunter2hunter2'}",
        "token=0123456789",
    ],
)
def test_secrets_are_taken_out(secret) -> None:
    found = logs.without_secrets(f"before {secret} after")
    assert "(secret)" in found
    assert found.startswith("before ")
    assert not any(each in found for each in ("abcdefghijkl", "hunter2", "0123456789"))


def test_ordinary_words_stay() -> None:
    text = "the token of the project is missing; secrets: none; 12 tokens; code 4"
    assert logs.without_secrets(text) == text


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_line(form) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines() if form == "json" else logs.TextLines())
    log = logging.Logger("tidemill.some")  # noqa: LOG001  (apart from those of the process)
    log.addHandler(handler)
    token = logs.WITHIN.set(("a" * 32, "b" * 16))
    try:
        try:
            raise ValueError("Bearer abcdefghijkl")
        except ValueError:
            log.exception("it failed for %s", "a\nreason", extra={"route": "/x", "ms": 1.5})
    finally:
        logs.WITHIN.reset(token)
    text = stream.getvalue()
    assert "abcdefghijkl" not in text
    if form == "json":
        assert text.count("\n") == 1
        line = json.loads(text)
        assert (line["level"], line["message"], line["route"], line["ms"]) == ("error", "it failed for a\nreason", "/x", 1.5)
        assert (line["trace_id"], line["span_id"]) == ("a" * 32, "b" * 16)
        assert "ValueError" in line["exception"]
    else:
        assert f"trace {'a' * 32}" in text.splitlines()[1]


def test_it_ends_as_it_began() -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    logs.start_logging("json", "debug")()
    assert (list(root.handlers), root.level) == before
    with pytest.raises(Invalid, match="no form"):
        logs.start_logging("xml", "debug")
