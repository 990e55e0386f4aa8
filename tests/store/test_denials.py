from __future__ import annotations

from tidemill.store.denials import NOBODY, Denials

MINUTE = 60 * 10**9


def take(denials, target="endpoint/a", *, who="person/ana", now_ns=0):
    return denials.take("shop", who=who, target=target, detail={"why": "no"}, now_ns=now_ns)


def test_the_first_of_a_minute_is_told_at_once_and_the_rest_by_their_number():
    denials = Denials()
    first = take(denials)
    assert first is not None
    assert first.count == 1
    assert [take(denials) for _ in range(1000)] == [None] * 1000
    assert denials.due(now_ns=MINUTE - 1) == []
    assert [(each.target, each.count) for each in denials.due(now_ns=MINUTE)] == [("endpoint/a", 1000)]
    assert denials.is_empty
    assert take(denials, now_ns=MINUTE) is not None


def test_many_targets_are_a_few_lines():
    denials = Denials()
    told = [take(denials, f"endpoint/{n}") for n in range(10_000)]
    assert len([each for each in told if each is not None]) == 33
    late = denials.due(now_ns=MINUTE)
    assert [(each.target, each.count) for each in late] == [("many", 10_000 - 33)]


def test_nobody_known_is_one_line_a_minute():
    denials = Denials()
    assert [take(denials, "server", who=NOBODY) for _ in range(5000)] == [None] * 5000
    assert [each.count for each in denials.due(now_ns=MINUTE)] == [5000]


def test_nothing_is_lost_at_the_end_nor_when_the_clock_is_set_back():
    denials = Denials()
    take(denials, now_ns=10 * MINUTE)
    take(denials, now_ns=10 * MINUTE)
    assert [each.count for each in denials.due(now_ns=MINUTE)] == [1]
    take(denials, who=NOBODY)
    assert [each.count for each in denials.due(now_ns=0, everything=True)] == [1]
