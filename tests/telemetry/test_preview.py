"""What stands in a row of a value that is kept apart."""

from __future__ import annotations

import orjson
import pytest

from tidemill.telemetry.privacy.payloads import PREVIEW, preview_of


def deep(levels):
    value = "at the bottom"
    for _ in range(levels):
        value = {"content": value}
    return value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a text", "a text"),
        ({"messages": [{"role": "system", "content": "long"}, {"role": "user", "content": "when?"}]}, "when?"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}]}, "a"),
        ({"text": "an answer", "tool_calls": []}, "an answer"),
        ({"question": "when?"}, '{"question":"when?"}'),
        ({"messages": []}, '{"messages":[]}'),
        ([1, 2], "[1,2]"),
        (deep(900), '{"content":{"content":'),
    ],
)
def test_a_preview_is_what_was_said_last(value, shown):
    text = orjson.dumps(value).decode() if value != deep(900) else '{"content":' * 900
    found = preview_of(value, text, 70_000)
    assert found.startswith(shown)
    assert found.endswith("(70,000 bytes; the rest is kept apart)")
    assert len(preview_of("x" * 10_000, "", 10_000)) < PREVIEW + 100
