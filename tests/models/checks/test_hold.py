"""How much of a stream is held back: never too little for what is looked for, never more than is said."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as some

from tidemill.models.checks.hold import Held

SECRET = re.compile(r"sk-[a-z0-9]{8,16}")
WORD = re.compile(r"\bclass\b")


def looked(held, pattern, now, *, everything=False):
    start, window = held.window()
    spans = [
        (start + match.start(), start + match.end(), "[x]")
        for match in pattern.finditer(window)
        if start + match.end() > held.released
    ]
    return held.release(spans, now, everything=everything)


def streamed(pieces, pattern, *, characters=20, seconds=1.0, every=0.0):
    """What goes on of pieces that come `every` so many seconds, with how much waited at most after each."""
    held, now, said, most = Held(characters=characters, seconds=seconds), 0.0, [], 0
    for piece in pieces:
        while held.due is not None and held.due <= now:
            said.append(looked(held, pattern, held.due))
        held.add(piece, now)
        if held.is_enough:
            said.append(looked(held, pattern, now))
            most = max(most, held.waiting)
        now += every
    said.append(looked(held, pattern, now, everything=True))
    return "".join(said), most


def cut(text, places):
    marks = sorted({0, len(text), *(each % (len(text) + 1) for each in places)})
    return [text[start:end] for start, end in itertools.pairwise(marks)]


@given(
    some.text(alphabet="sk-ab1 .", max_size=300), some.lists(some.integers(min_value=0, max_value=400), max_size=60),
    some.sampled_from((19, 20, 33, 100)),
)  # fmt: skip
def test_what_goes_on_is_what_one_look_at_the_whole_would_leave(text, places, characters):
    text = re.sub(r"[a-z0-9]{40,}", "", text)
    said, most = streamed(cut(text, places), SECRET, characters=characters)
    assert not SECRET.search(said.replace("[x]", "\n"))
    assert said == SECRET.sub("[x]", text)
    assert most <= 4 * characters


@given(some.text(min_size=1, max_size=400), some.lists(some.integers(min_value=0, max_value=400), max_size=60))
def test_what_is_fine_passes_unchanged_and_no_more_waits_than_is_held(text, places):
    held, said = Held(characters=40, seconds=1.0), ""
    for piece in cut(text, places):
        held.add(piece, 0.0)
        if held.is_enough:
            said += looked(held, re.compile("(?!)"), 0.0)
            assert held.waiting <= 40
        assert held.waiting < 40 + 10
    assert said + looked(held, re.compile("(?!)"), 0.0, everything=True) == text


@given(some.integers(min_value=0, max_value=16), some.integers(min_value=0, max_value=16), some.integers(0, 60))
def test_a_secret_in_three_pieces_is_caught(one, two, before):
    secret = "sk-abcdefgh12345"
    first, second = sorted((one % len(secret), two % len(secret)))
    pieces = ["x " * before, secret[:first], secret[first:second], secret[second:], " and so on" * 9]
    said, _ = streamed(pieces, SECRET)
    assert "[x] and so on" in said
    assert "abcd" not in said


def test_nothing_waits_longer_than_it_may():
    held = Held(characters=1000, seconds=2.0)
    held.add("Hello", 10.0)
    held.add(" there", 11.9)
    assert held.due == 12.5
    assert looked(held, SECRET, 12.5) == "Hello"
    assert held.due == 14.4
    assert looked(held, SECRET, 14.4) == " there"
    assert held.due is None


def test_a_secret_that_comes_slowly_within_the_time_is_caught():
    pieces = ["the key is ", "sk-abc", "defgh", "1234", " so", " keep", " it"]
    said, _ = streamed(pieces, SECRET, characters=1000, seconds=2.0, every=0.6)
    assert said == "the key is [x] so keep it"


def test_a_word_that_goes_on_is_not_taken_for_its_beginning():
    for every in (0.0, 0.9):
        said, _ = streamed(["a first ", "class", "ic ", "one, and many more words that come after it"], WORD, every=every)
        assert said == "a first classic one, and many more words that come after it"


def test_a_finding_without_end_is_not_waited_for_for_ever_and_replaced_once():
    endless, held, said = re.compile(r"z+"), Held(characters=20, seconds=1.0), ""
    for _ in range(40):
        held.add("zzzzz", 0.0)
        if held.is_enough:
            said += looked(held, endless, 0.0)
            assert held.waiting <= 4 * 20 + 5
    held.add(" end", 0.0)
    said += looked(held, endless, 0.0, everything=True)
    assert said == "[x] end"


def test_what_reads_all_sees_all():
    held = Held(characters=10, seconds=1.0, reads_all=True)
    for _ in range(10):
        held.add("0123456789", 0.0)
        held.release((), 0.0)
    assert held.window(everything=True) == (0, "0123456789" * 10)
    assert held.window() == (70, "0123456789" * 3)
    assert held.released == 90
