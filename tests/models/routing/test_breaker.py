"""A breaker never lets more than its probes through, whatever comes in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.models.routing.breaker import Breaker, BreakerPolicy

POLICY = BreakerPolicy(failures=3, share=0.5, window=10, pause=2, longest=8, probes=2)


def opened(policy=POLICY) -> Breaker:
    breaker = Breaker(policy, chance=lambda: 0.0)
    for _ in range(policy.failures):
        breaker.failed(breaker.admit(0.0), 0.0)
    return breaker


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.just(0)),
            st.tuples(st.sampled_from(["succeed", "fail", "leave"]), st.integers(0, 30)),
            st.tuples(st.just("pass"), st.integers(1, 40)),
        ),
        max_size=200,
    ),
    st.integers(1, 3),
)
def test_open_it_lets_nobody_through_and_half_open_no_more_than_its_probes(steps, probes):
    policy = BreakerPolicy(failures=2, share=0.5, window=5, pause=1, longest=4, probes=probes)
    breaker = Breaker(policy, chance=lambda: 0.5)
    now, out = 0.0, []
    for what, number in steps:
        state = breaker.state(now)
        if what == "ask":
            leave = breaker.admit(now)
            if state == "open":
                assert leave is None
            if leave is not None:
                out.append(leave)
            assert sum(each.is_probe and each.epoch == breaker._epoch for each in out) <= probes
        elif what == "pass":
            now += number / 10
        elif out:
            leave = out.pop(number % len(out))
            if what == "succeed":
                breaker.succeeded(leave, now)
            elif what == "fail":
                breaker.failed(leave, now)
            else:
                breaker.abandoned(leave)
        assert 0 <= breaker.probing <= probes


def test_it_opens_by_count_and_share_and_only_within_its_window():
    breaker = Breaker(POLICY, chance=lambda: 0.0)
    for _ in range(4):
        breaker.succeeded(breaker.admit(0.0), 0.0)
    for _ in range(3):
        breaker.failed(breaker.admit(0.0), 0.0)
    assert breaker.state(0.0) == "closed", "3 of 7 is less than half"
    breaker.failed(breaker.admit(0.0), 0.0)
    assert breaker.state(0.0) == "open"

    slow = Breaker(POLICY, chance=lambda: 0.0)
    for at in (0.0, 20.0, 40.0, 60.0):
        slow.failed(slow.admit(at), at)
    assert slow.state(60.0) == "closed", "one failure in each window"


def test_probes_close_it_together_and_one_failure_doubles_the_pause():
    breaker = opened()
    assert breaker.wait(0.5) == 1.5
    first, second = breaker.admit(2.0), breaker.admit(2.0)
    assert breaker.admit(2.0) is None
    breaker.succeeded(first, 2.1)
    assert breaker.state(2.1) == "half_open"
    breaker.failed(second, 2.2)
    assert breaker.wait(2.2) == 4.0
    for _ in range(2):
        breaker.succeeded(breaker.admit(7.0), 7.0)
    assert breaker.state(7.0) == "closed"


def test_the_pause_grows_no_longer_than_the_longest_and_starts_anew_after_health():
    breaker, now = opened(), 0.0
    for _ in range(5):
        now += breaker.wait(now)
        breaker.failed(breaker.admit(now), now)
    assert breaker.wait(now) == POLICY.longest
    now += POLICY.longest
    for _ in range(2):
        breaker.succeeded(breaker.admit(now), now)
    for _ in range(3):
        breaker.failed(breaker.admit(now), now)
    assert breaker.wait(now) == POLICY.pause


def test_an_attempt_from_before_the_change_says_nothing():
    breaker = Breaker(POLICY, chance=lambda: 0.0)
    old = [breaker.admit(0.0) for _ in range(10)]
    for each in old[:3]:
        breaker.failed(each, 0.0)
    probe = breaker.admit(2.0)
    for each in old[3:]:
        breaker.succeeded(each, 2.0)
    assert breaker.state(2.0) == "half_open"
    breaker.abandoned(probe)
    assert breaker.probing == 0


def test_the_last_resort_is_one_every_half_second_and_its_failure_prolongs_nothing():
    breaker = opened()
    assert breaker.admit_last(0.0) is None, "not in the moment in which it opened"
    first = breaker.admit_last(0.05)
    assert not first.is_probe
    assert breaker.admit_last(0.5) is None
    assert breaker.wait_last(0.5) == pytest.approx(0.05)
    breaker.failed(first, 0.5)
    assert breaker.wait(0.5) == 1.5
    assert breaker.admit_last(0.55) is not None


def test_one_success_as_the_last_resort_ends_the_pause():
    breaker = opened(BreakerPolicy(failures=3, pause=60, probes=1))
    breaker.succeeded(breaker.admit_last(0.1), 0.2)
    assert breaker.state(0.2) == "closed"

    careful = opened(BreakerPolicy(failures=3, pause=60, probes=2))
    careful.succeeded(careful.admit_last(0.1), 0.2)
    assert careful.state(0.2) == "half_open"
    assert all(careful.admit_last(0.2) for _ in range(9)), "who has nobody else need not wait for a second"
    careful.succeeded(careful.admit(0.2), 0.3)
    assert careful.state(0.3) == "closed"


def test_a_probe_that_hangs_does_not_keep_out_who_has_nobody_else():
    breaker = opened(BreakerPolicy(failures=3, pause=2, probes=1))
    assert breaker.admit(2.0).is_probe
    assert breaker.admit(60.0) is None
    breaker.succeeded(breaker.admit_last(60.0), 60.1)
    assert breaker.state(60.1) == "closed"


def test_a_stream_that_has_begun_lets_others_in_unless_streams_break_off_there():
    breaker = opened()
    breaker.began(breaker.admit_last(0.1))
    assert all(breaker.admit_last(0.1) for _ in range(9))

    fickle = Breaker(POLICY, chance=lambda: 0.0)
    for _ in range(POLICY.failures):
        leave = fickle.admit(0.0)
        fickle.began(leave)
        fickle.failed(leave, 0.0)
    fickle.began(fickle.admit_last(0.1))
    assert fickle.admit_last(0.1) is None


@given(st.lists(st.tuples(st.floats(0, 0.2), st.sampled_from(["fail", "leave", "keep"])), max_size=300), st.integers(1, 3))
def test_who_never_answers_is_hardly_asked_however_many_have_nobody_else(steps, probes):
    policy = BreakerPolicy(failures=3, share=0.5, window=10, pause=2, longest=8, probes=probes)
    breaker, now, asked = opened(policy), 0.0, 0
    for passed, what in steps:
        now += passed
        leave = breaker.admit(now) or breaker.admit_last(now)
        asked += leave is not None
        if leave is not None and what == "fail":
            breaker.failed(leave, now)
        elif leave is not None and what == "leave":
            breaker.abandoned(leave)
        assert breaker.state(now) != "closed"
    left = sum(what == "leave" for _, what in steps)
    assert asked <= 1 + now / 0.5 + (probes + left) * (1 + now / policy.pause)
