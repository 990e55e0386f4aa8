from __future__ import annotations

import itertools
import uuid

from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.clock import FixedClock, Ids, SystemClock


def test_ids_are_uuid_version_7_and_carry_the_time():
    clock = FixedClock(ns=1_645_557_742_000_000_000)
    made = Ids(clock=clock, random_bytes=lambda count: bytes(range(count))).new()
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == 0x017F22E279B0  # the time in the example of RFC 9562, appendix A.6


@given(st.lists(st.integers(-5_000_000_000, 5_000_000_000), max_size=50), st.binary(min_size=10, max_size=10))
def test_ids_rise_strictly_whatever_the_clock_does(steps, tail):
    clock = FixedClock()
    ids = Ids(clock=clock, random_bytes=lambda count: tail[:count])
    made = [ids.new()]
    for step in steps:
        clock.ns += step
        made.append(ids.new())
    assert all(a < b for a, b in itertools.pairwise(made))
    assert all(each.version == 7 and each.variant == uuid.RFC_4122 for each in made)
    assert [each.hex for each in made] == sorted(each.hex for each in made)


def test_ids_carry_over_when_the_random_bits_are_used_up():
    ids = Ids(clock=FixedClock(), random_bytes=lambda count: b"\xff" * count)
    first, second = ids.new(), ids.new()
    assert (second.int >> 80) - (first.int >> 80) == 1
    assert second.version == 7


def test_trace_and_span_ids_have_their_lengths_and_a_span_is_never_zero():
    ids = Ids(random_bytes=bytes)
    assert len(ids.trace()) == 32
    assert ids.span() == "0000000000000001"


def test_the_fixed_clock_moves_when_told():
    clock = FixedClock(ns=10**9)
    clock.advance(seconds=1.5)
    assert (clock.now_ns(), clock.monotonic()) == (2_500_000_000, 2.5)
    system = SystemClock()
    assert system.monotonic() <= system.monotonic()
