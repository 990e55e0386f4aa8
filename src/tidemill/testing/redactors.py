"""The kit for detectors of what should not be stored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tidemill.core.extend import Redactor

_ODD = ("", " ", "\x00", "\ud800", "潮\U0001f30a" * 50, "a" * 100_000, '{["\\')


def check_redactor(redactor: Redactor, *, leaves: str, finds: str, secret: str) -> None:
    """In `leaves` nothing is found; in `finds`, which has `secret` once, all of `secret` lies within findings.

    Findings lie inside the text, hold something and have a label; the same text gives the same ones, from several threads too;
    any text can be searched.
    """
    assert redactor.name, "a redactor has a name"
    assert finds.count(secret) == 1, f"{finds!r} must have {secret!r} once"
    assert not redactor.find(leaves), f"{leaves!r} should be left as it is"
    found = list(redactor.find(finds))
    _check_places(found, finds)
    start = finds.index(secret)
    covered = {at for first, last, _ in found for at in range(first, last)}
    missed = sorted(set(range(start, start + len(secret))) - covered)
    assert not missed, f"{finds[missed[0] :]!r} of {finds!r} would be stored"
    with ThreadPoolExecutor(4) as threads:
        for again in threads.map(redactor.find, [finds] * 8):
            assert sorted(again) == sorted(found), "the same text must give the same findings, from several threads too"
    for text in _ODD:
        _check_places(list(redactor.find(text)), text)


def _check_places(found: list[tuple[int, int, str]], text: str) -> None:
    for start, end, label in found:
        assert 0 <= start < end <= len(text), f"the finding {label!r} at {start} to {end} is empty or lies outside the text"
        assert label, "a finding has a label"
