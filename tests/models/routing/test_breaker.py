"""A breaker never lets more than its probes through, whatever comes in whatever order."""

from __future__ import annotations

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
