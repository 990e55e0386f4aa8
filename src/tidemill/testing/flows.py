"""The kit for checks that guardrails run."""

from __future__ import annotations

import anyio

from tidemill.core.extend import Check


def check_check(check: Check, *, passes: str, fails: str) -> None:
    """`passes` has no finding, `fails` has one; findings lie inside the text and have a label; empty text is fine."""
    assert check.name, "a check has a name"
    assert not anyio.run(check.check, passes), f"{passes!r} should pass"
    found = anyio.run(check.check, fails)
    assert found, f"{fails!r} should be found"
    for start, end, label in found:
        assert 0 <= start <= end <= len(fails), f"the finding {label!r} lies outside the text"
        assert label, "a finding has a label"
    anyio.run(check.check, "")
