"""`make demo-loop`, whole: a real model is tuned, and its release reaches everybody and goes back."""

from __future__ import annotations

import re

import pytest
from examples.loop import demo, traffic


def test_the_phrases_written_for_it_are_enough() -> None:
    found = traffic._from_phrases()
    assert set(found) == {*traffic.KNOWN, *traffic.NEW}
    assert all(len(set(each)) >= 36 for each in found.values()), {name: len(set(each)) for name, each in found.items()}
    assert not any("[" in text or "|" in text for each in found.values() for text in each)


def test_nobody_asks_what_judges_and_no_sentence_is_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("/nonexistent", None):
        if folder:
            monkeypatch.setenv("TIDEMILL_SHARED_DATA", folder)
        else:
            monkeypatch.delenv("TIDEMILL_SHARED_DATA")
        said = traffic.utterances()
        judging = {each.text for intent in traffic.KNOWN for each in said[intent][: demo.JUDGED]}
        asked = [each.text for part in demo.people_ask(said) for each in part]
        assert len(set(asked)) == len(asked)
        assert judging.isdisjoint(asked)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_whole_life_of_an_application(tmp_path, monkeypatch, capfd) -> None:
    for module in ("torch", "trl", "peft", "xllamacpp", "cryptography", "chdb", "scipy"):
        pytest.importorskip(module, reason="needs the extras that `make demo-loop` installs")
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    monkeypatch.setattr(demo, "WORK", tmp_path / "loop")
    monkeypatch.setattr(demo, "VERIFY", demo.HERE.parents[1] / "scripts" / "verify_evidence.py")
    monkeypatch.setenv("TIDEMILL_SHARED_DATA", "/nonexistent")  # the phrases that ship with it
    monkeypatch.chdir(tmp_path)
    assert demo.main() == 0
    out = capfd.readouterr().out
    assert re.search(r"no drift shown", out)
    assert re.search(r"gate passed", out)
    assert "a deploy without approval is refused" in out
    assert "lines about it" in out
    back = re.search(r"rollback\s+.* -> (\S+)  \((sha256:\w+)", out)
    first = re.search(r"release\s+(sha256:\w+)", out)
    assert back is not None
    assert first is not None
    assert first[1].startswith(back[2]) or back[2].startswith(first[1])
