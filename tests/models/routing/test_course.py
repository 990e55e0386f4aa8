"""One request's course: who is asked, what a failure leads to, and what it teaches."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.routing.making import World, route
from tidemill.models.routing.course import Attempt, End, Wait


def names(world, course, kind, **fields):
    """Who is asked, one after the other, while everybody fails in the same way."""
    found = []
    while isinstance(step := course.next(world.now), Attempt):
        world.clock.advance(seconds=step.delay)
        found.append(step.target.name)
        course.failed(step, kind, world.now, **fields)
    return found


def test_in_order_then_again_at_each_that_may_mend():
    world = World(route("model/a", "model/b", fallback={"attempts": 9, "retries": 1}))
    assert names(world, world.course(), "server") == ["model/a", "model/b", "model/a", "model/b"]


def test_no_more_attempts_than_the_route_allows():
    world = World(route("model/a", "model/b", "model/c", fallback={"attempts": 2}))
    assert names(world, world.course(), "connection") == ["model/a", "model/b"]


def test_what_no_other_target_would_take_ends_it():
    world = World(route())
    course = world.course()
    step = course.next(world.now)
    course.failed(step, "invalid", world.now)
    assert not course.moves_on("invalid")
    assert isinstance(course.next(world.now), End)


def test_orders_come_one_after_the_other():
    world = World(route({"model": "model/b", "order": 1}, {"model": "model/a"}, strategy="weighted"))
    assert names(world, world.course(), "auth") == ["model/a", "model/b"]


def test_weights_are_met():
    world = World(route({"model": "model/a", "weight": 1}, {"model": "model/b", "weight": 4}, strategy="weighted"))
    found = Counter(world.first() for _ in range(4000))
    assert abs(found["model/a"] / 4000 - 0.2) < 0.03


@settings(max_examples=40)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=6).filter(any), st.integers(0, 10**6))
def test_nobody_without_weight_is_asked_first(weights, seed):
    targets = [{"model": f"model/m{index}", "weight": weight} for index, weight in enumerate(weights)]
    world = World(route(*targets, strategy="weighted"), seed=seed)
    for _ in range(20):
        assert weights[int(world.first().removeprefix("model/m"))] > 0


def test_the_quickest_is_asked_and_the_others_are_looked_at_again():
    world = World(route("model/a", "model/b", strategy="latency"))
    slow, quick = world.states()
    slow.whole.observe(2.0, world.now)
    quick.whole.observe(0.1, world.now)
    assert {world.first() for _ in range(5)} == {"model/b"}
    quick.whole.observe(5.0, world.now)
    assert world.first() == "model/a"


def test_the_least_loaded_is_asked():
    world = World(route({"model": "model/a", "weight": 2}, "model/b", strategy="load"))
    found = Counter(world.course().next(world.now).target.name for _ in range(30))
    assert found == {"model/a": 20, "model/b": 10}


def test_the_cheapest_is_asked_and_no_price_is_the_last():
    prices = {"model/a": 0.5, "model/c": 0.1}
    made = route("model/a", "model/b", "model/c", {"model": "model/d", "price": {"input": 1, "output": 1}}, strategy="cost")
    world = World(made)
    course = world.course(price=lambda target, *_: prices.get(target.name))
    assert names(world, course, "auth") == ["model/d", "model/c", "model/a", "model/b"]


@pytest.mark.parametrize(
    ("when", "asked", "answers"),
    [
        ("length > 100", {"texts": ["x" * 1000]}, True),
        ("length > 100", {}, False),
        ('user == "ada"', {"user": "ada"}, True),
        ('user.startsWith("a")', {}, False),
        ('tags.tier == "gold"', {"tags": {"tier": "gold"}}, True),
        ('tags.tier == "gold"', {}, False),
        ('"tier" in tags', {"tags": {"tier": ""}}, True),
        ("cost < 0.01", {"price": lambda *_: 0.002}, True),
        ("cost < 0.01", {"price": lambda *_: 0.02}, False),
        ("cost < 0.01", {"price": lambda *_: None}, False),
        ('language == "de"', {"language": lambda _: "de"}, True),
        ("request.stream", {"stream": True}, True),
        ("request.temperature > 0.5", {"params": {"temperature": 0.7}}, True),
        ("request.temperature > 0.5", {}, False),
        ('environment == "e" && priority >= 0', {}, True),
    ],
)
def test_conditions_read_the_request(when, asked, answers):
    world = World(route({"model": "model/a", "when": when}, "model/b"))
    fields = dict(asked)
    assert world.first(*fields.pop("texts", ()), **fields) == ("model/a" if answers else "model/b")


def test_nobody_takes_it():
    world = World(route({"model": "model/a", "when": "length > 1000"}))
    assert world.course().next(world.now).reasons == {"": "no target's condition holds"}


def test_a_longer_model_is_asked_when_the_context_was_too_short():
    made = route(
        {"model": "model/a", "context": 100}, {"model": "model/b", "context": 100}, {"model": "model/c", "context": 900}
    )
    world = World(made)
    assert names(world, world.course(), "context_length") == ["model/a", "model/c"]
    assert World(made).first("x" * 1600) == "model/c"


def test_some_are_asked_only_after_a_failure_that_they_are_for():
    made = route("model/a", "model/b", {"model": "model/safe", "after": ["content_filter"]})
    world = World(made)
    course = world.course()
    course.failed(course.next(world.now), "content_filter", world.now)
    step = course.next(world.now)
    assert (step.target.name, step.why) == ("model/safe", "after content_filter")
    assert names(World(made), World(made).course(), "auth") == ["model/a", "model/b"]


def test_a_target_that_keeps_failing_is_left_alone_and_probed_by_one():
    world = World(route("model/a", "model/b", breaker={"failures": 3, "pause": "5s", "probes": 1}))
    for _ in range(3):
        course = world.course()
        course.failed(course.next(world.now), "server", world.now)
        course.served(course.next(world.now), world.now)
    assert {world.first() for _ in range(20)} == {"model/b"}
    world.clock.advance(seconds=6)
    probe = world.course().next(world.now)
    assert (probe.target.name, probe.leave.is_probe) == ("model/a", True)
    assert "as a probe" in probe.why
    assert {world.first() for _ in range(20)} == {"model/b"}


def test_a_rate_limit_cools_the_target_for_as_long_as_it_said():
    world = World(route())
    course = world.course()
    course.failed(course.next(world.now), "rate_limited", world.now, retry_after=7.0)
    assert course.next(world.now).target.name == "model/b"
    assert world.first() == "model/b"
    world.clock.advance(seconds=7.1)
    assert world.first() == "model/a"
    assert world.states()[0].breaker.state(world.now) == "closed"


def left_alone(*targets, **body) -> World:
    """A world whose breakers are all open."""
    world = World(route(*targets, breaker={"failures": 1, "pause": "60s"}, **body))
    for each in world.states():
        each.breaker.failed(each.breaker.admit(world.now), world.now)
    return world


def waited_for(world, course):
    """What comes after the waits."""
    while isinstance(step := course.next(world.now), Wait):
        world.clock.advance(seconds=step.seconds)
    return step


def test_while_all_are_left_alone_the_one_that_answered_last_is_asked_all_the_same():
    world = left_alone("model/a", "model/b", "model/c")
    world.states()[1].served_at = world.now
    step = waited_for(world, world.course())
    assert (step.target.name, step.why) == ("model/b", "nobody else is left")
    others = [waited_for(world, world.course()).target.name for _ in range(2)]
    assert others == ["model/a", "model/c"], "each by one request at a time"


def test_one_success_brings_a_target_back_for_all_that_wait():
    world = left_alone("model/a")
    first, second = world.course(), world.course()
    step = waited_for(world, first)
    assert isinstance(second.next(world.now), Wait)
    first.served(step, world.now)
    assert second.next(world.now).target.name == "model/a"
    assert world.states()[0].breaker.state(world.now) == "closed"


def test_after_the_others_failed_the_one_that_is_left_alone_is_asked():
    world = World(route("model/a", "model/b", breaker={"failures": 1, "pause": "60s"}))
    state = world.states()[0]
    state.breaker.failed(state.breaker.admit(world.now), world.now)
    world.clock.advance(seconds=1)
    course = world.course()
    course.failed(course.next(world.now), "auth", world.now)
    assert course.next(world.now).target.name == "model/a"


@pytest.mark.parametrize("seconds", [10, 60])
def test_a_dead_provider_is_asked_about_twice_a_second_by_a_hundred_requests_a_second(seconds):
    world = left_alone("model/a", fallback={"wait": 0, "retries": 0})
    asked = 0
    for _ in range(seconds * 100):
        world.clock.advance(seconds=0.01)
        course = world.course()
        while isinstance(step := course.next(world.now), Attempt):
            asked += 1
            course.failed(step, "server", world.now)
    assert seconds <= asked <= 2 * seconds + 2


def test_a_request_waits_no_longer_than_the_route_says_and_is_told_why():
    world = left_alone("model/a", fallback={"retries": 0, "wait": "400ms"})
    began = world.now
    assert isinstance(waited_for(world, world.course()), Attempt)
    step = waited_for(world, world.course())
    assert isinstance(step, End)
    assert "its breaker is open for" in step.reasons["model/a"]
    assert world.now - began < 0.6


def test_the_time_of_attempts_is_not_taken_from_what_a_request_may_wait():
    world = left_alone("model/a", "model/b", fallback={"retries": 0, "wait": "1s"})
    one, other = world.course(), world.course()
    hanging = [waited_for(world, each) for each in (one, other)]
    assert {each.target.name for each in hanging} == {"model/a", "model/b"}
    world.clock.advance(seconds=30)
    one.failed(hanging[0], "timeout", world.now)
    assert isinstance(waited_for(world, one), Attempt), "the other is asked, though somebody else hangs there"


def test_another_target_is_asked_whatever_the_retry_budgets_say():
    world = World(route("model/a", "model/b", "model/c"))
    for each in world.states():
        each.retries.left = 0.0
    assert names(world, world.course(), "server") == ["model/a", "model/b", "model/c"]


def test_attempts_are_kept_for_those_that_were_not_asked_yet():
    made = route("model/a", "model/b", breaker={"failures": 1, "pause": "60s"}, fallback={"attempts": 2, "retries": 4})
    world = World(made)
    state = world.states()[1]
    leave = state.breaker.admit(world.now)
    state.breaker.failed(leave, world.now)
    course = world.course()
    course.failed(course.next(world.now), "rate_limited", world.now, retry_after=0.01)
    world.clock.advance(seconds=0.02)
    assert waited_for(world, course).target.name == "model/b"


def test_a_time_out_in_doubt_says_nothing_of_the_target():
    world = World(route(breaker={"failures": 1}))
    course = world.course()
    step = course.next(world.now)
    step.is_in_doubt = True
    course.failed(step, "timeout", world.now)
    assert world.states()[0].breaker.state(world.now) == "closed"
    assert course.next(world.now).target.name == "model/b"


def test_a_caller_in_a_hurry_is_no_fault_of_the_target():
    world = World(route("model/a", breaker={"failures": 1}))
    course = world.course(deadline=world.now + 0.5)
    step = course.next(world.now)
    assert step.timeout == 0.5
    world.clock.advance(seconds=0.5)
    course.failed(step, "timeout", world.now)
    assert world.states()[0].breaker.state(world.now) == "closed"
    assert isinstance(course.next(world.now), End)


def test_a_target_that_gives_nothing_for_much_longer_than_usual_is_at_fault_whatever_the_deadline():
    world = World(route("model/a", breaker={"failures": 1}))
    for _ in range(10):
        world.states()[0].whole.observe(0.1, world.now)
    course = world.course(deadline=world.now + 0.5)
    course.failed(course.next(world.now), "timeout", world.now)
    assert world.states()[0].breaker.state(world.now) == "open"


def test_the_first_attempt_leaves_half_of_the_time_to_others():
    world = World(route())
    course = world.course(deadline=world.now + 8)
    first = course.next(world.now)
    assert first.timeout == 4
    world.clock.advance(seconds=4)
    course.failed(first, "timeout", world.now)
    assert course.next(world.now).timeout == 4, "the last has all that is left"
    for _ in range(10):
        world.states()[0].whole.observe(4.0, world.now)
    assert world.course(deadline=world.now + 8).next(world.now).timeout == 6, "what it usually takes, and half more"


def test_no_attempt_begins_that_cannot_end_in_time():
    world = World(route())
    for _ in range(10):
        world.states()[0].whole.observe(3.0, world.now)
    assert world.first(deadline=world.now + 1) == "model/b"
    assert world.first(deadline=world.now + 4) == "model/a"
    world.clock.advance(seconds=120)
    assert world.first(deadline=world.now + 1) == "model/a", "what was long ago says nothing"


@given(st.lists(st.booleans(), max_size=300), st.sampled_from([0.0, 0.1, 0.5]))
def test_retries_keep_to_their_budget(outcomes, share):
    made = route(
        "model/a", fallback={"retries": 8, "attempts": 16, "retry_share": share, "wait": 0}, breaker={"failures": 10_000}
    )
    world = World(made)
    again = good = 0
    for is_good in outcomes:
        course = world.course()
        step = course.next(world.now)
        while isinstance(step, Attempt):
            world.clock.advance(seconds=step.delay)
            again += step.number > 1
            if is_good:
                course.served(step, world.now)
                good += 1
                break
            course.failed(step, "server", world.now)
            step = course.next(world.now)
    assert again <= 20 + share * good + 1e-6


@given(st.integers(1, 200), st.sampled_from([0.05, 0.2, 1.0]))
def test_hedges_keep_to_their_share(requests, share):
    world = World(route(hedge={"after": "100ms", "share": share}))
    hedges = 0
    for _ in range(requests):
        course = world.course()
        first = course.next(world.now)
        if course.hedge_after(first, world.now) == 0.1 and (second := course.hedge(first, world.now)) is not None:
            assert second.target is not first.target
            assert course.hedge(first, world.now) is None
            hedges += 1
            course.abandoned(first)
            course.served(second, world.now)
        else:
            course.served(first, world.now)
    assert hedges <= 1 + share * requests
    assert all(each.outstanding == 0 for each in world.states())


def test_a_hedge_waits_for_the_quantile_of_what_was_seen():
    world = World(route(hedge={"after": "p95"}))
    course = world.course()
    step = course.next(world.now)
    assert course.hedge_after(step, world.now) is None
    for each in range(100):
        step.state.whole.observe(each / 100, world.now)
    assert course.hedge_after(step, world.now) == pytest.approx(0.94, abs=0.02)


@settings(max_examples=50)
@given(st.text("abcdefgh", min_size=1, max_size=8), st.integers(2, 6), st.integers(0, 5))
def test_a_session_stays_where_it_is_when_others_come_and_go(session, count, gone):
    targets = [f"model/m{index}" for index in range(count)]
    made = route(*targets, sticky="session")
    world = World(made)
    first = world.first(session=session)
    assert {world.first(session=session) for _ in range(5)} == {first}
    left = [each for index, each in enumerate(targets) if index != gone % count or each == first]
    assert world.first(session=session, made=route(*left, sticky="session")) == first
    more = route(*targets, "model/new", sticky="session")
    assert world.first(session=session, made=more) in {first, "model/new"}


def test_without_a_session_it_is_chosen_as_usual():
    world = World(route(sticky="session"))
    assert {world.first() for _ in range(5)} == {"model/a"}


def test_a_conversation_goes_on_where_it_began_until_the_target_holds_too_much():
    world = World(route("model/a", "model/b", "model/c", affinity={"load": 1.5}))
    start = "what is the tide at Husum?"
    first = world.first(start)
    assert world.first(start, "and tomorrow?") == first, "the beginning is what counts"
    assert len({world.first(f"question {each}") for each in range(40)}) == 3
    held = [world.course(start).next(world.now) for _ in range(30)]
    found = Counter(each.target.name for each in held)
    assert found[first] <= 1.5 * 31 / 3 + 1
    assert len(found) > 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_happens_every_attempt_is_handed_back_and_no_probe_too_many(data):
    targets = ["model/a", {"model": "model/b", "weight": 3}, {"model": "model/c", "order": 1}]
    made = route(
        *targets, strategy=data.draw(st.sampled_from(["ordered", "weighted", "latency", "load", "cost"])),
        breaker={"failures": 2, "pause": "1s", "probes": 1}, hedge={"after": "10ms", "share": 0.5},
    )  # fmt: skip
    world = World(made, seed=data.draw(st.integers(0, 100)))
    under_way = []
    for _ in range(data.draw(st.integers(1, 60))):
        course = world.course()
        for _ in range(20):
            step = course.next(world.now)
            if isinstance(step, End):
                break
            if isinstance(step, Wait):
                world.clock.advance(seconds=step.seconds)
                continue
            what = data.draw(st.sampled_from(["serve", "server", "timeout", "rate_limited", "leave", "keep", "hedge"]))
            if what == "hedge" and (second := course.hedge(step, world.now)) is not None:
                course.served(second, world.now)
                course.abandoned(step)
                break
            if what == "keep":
                under_way.append((course, step))
                break
            if what == "serve":
                course.served(step, world.now)
                break
            if what == "leave":
                course.abandoned(step)
                break
            course.failed(step, what if what != "hedge" else "server", world.now)
        assert all(each.breaker.probing <= 1 for each in world.states())
        world.clock.advance(seconds=data.draw(st.sampled_from([0.0, 0.3, 2.0])))
    for course, step in under_way:
        course.served(step, world.now)
        course.served(step, world.now)  # a second time says nothing
    assert all(each.outstanding == 0 and each.breaker.probing == 0 for each in world.states())
