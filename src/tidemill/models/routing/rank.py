"""In which order the targets of a route are asked for one request, and why the first is the first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tidemill.models.routing.facts import Facts
from tidemill.models.routing.rendezvous import bid, within_bound
from tidemill.models.routing.spec import Affinity, Route, Target
from tidemill.models.routing.state import TargetState

Chance = Callable[[], float]
"""A number from 0 to 1, as `random.random` gives."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranked:
    """A target in its place, and what put it there."""

    target: Target
    why: str


def rank(
    route: Route, targets: Sequence[Target], states: Sequence[TargetState], *, facts: Facts, now: float, chance: Chance
) -> list[Ranked]:
    """`targets` in the order to ask them: by `order`, within it as the route says. `states` are those of `route.targets`."""
    found: list[Ranked] = []
    sticky, prefix = facts.sticky_key(route), facts.prefix_key(route)
    for level in sorted({each.order for each in targets}):
        group = [each for each in targets if each.order == level]
        if len(group) == 1:
            found.append(Ranked(target=group[0], why="the only one of its order"))
        elif sticky is not None:
            found += [Ranked(target=each, why=f"sticky by {route.sticky}") for each in _by_bid(group, sticky)]
        elif prefix is not None and route.affinity is not None:
            found += _by_affinity(group, states, prefix, route.affinity)
        else:
            found += _by_strategy(route, group, states, facts=facts, now=now, chance=chance)
    return found


def _by_bid(group: Sequence[Target], key: bytes) -> list[Target]:
    return sorted(group, key=lambda each: -bid(key, each.name, each.weight))


def _by_affinity(group: Sequence[Target], states: Sequence[TargetState], key: bytes, affinity: Affinity) -> list[Ranked]:
    """Those within their bound first, each side in the order of its bids."""
    fits = within_bound([states[each.index].outstanding for each in group], [each.weight for each in group], most=affinity.load)
    by_index = {each.index: fit for each, fit in zip(group, fits, strict=True)}
    bids = _by_bid(group, key)
    near = [Ranked(target=each, why="holds the conversation's beginning") for each in bids if by_index[each.index]]
    return near + [Ranked(target=each, why="beyond its part of the load") for each in bids if not by_index[each.index]]


def _by_strategy(
    route: Route, group: Sequence[Target], states: Sequence[TargetState], *, facts: Facts, now: float, chance: Chance
) -> list[Ranked]:
    match route.strategy:
        case "weighted":
            drawn = _drawn(group, chance)
            return [Ranked(target=each, why="by weight") for each in drawn]
        case "latency":
            return _sorted(group, lambda each: _peak(states[each.index], each, facts.stream, now), "least latency", chance)
        case "load":
            return _sorted(group, lambda each: _load(states[each.index], each), "least load", chance)
        case "cost":
            return _sorted(group, lambda each: _cost(facts, each), "least cost", chance)
        case "ordered":
            return [Ranked(target=each, why="in order") for each in group]


def _drawn(group: Sequence[Target], chance: Chance) -> list[Target]:
    """A draw without replacement by weight: Efraimidis and Spirakis, Information Processing Letters 97(5), 2006."""
    keys = {each.index: math.log(max(chance(), 1e-300)) / each.weight if each.weight > 0 else -math.inf for each in group}
    return sorted(group, key=lambda each: -keys[each.index])


def _sorted(group: Sequence[Target], measure: Callable[[Target], float], why: str, chance: Chance) -> list[Ranked]:
    """By a measure, the least first; chance decides between equals."""
    pairs = sorted((measure(each), chance(), each.index, each) for each in group)
    return [Ranked(target=each, why=why) for *_, each in pairs]


def _peak(state: TargetState, target: Target, stream: bool, now: float) -> float:  # noqa: FBT001  (one of two kinds)
    """The peak-sensitive latency times what waits there: seconds. Untried ones come first, one caller at a time."""
    average = state.latencies(stream=stream).average.cost(now)
    if average == 0.0 and state.outstanding:
        return math.inf if target.weight <= 0 else 1e6 + state.outstanding
    return average * (state.outstanding + 1) / target.weight if target.weight > 0 else math.inf


def _load(state: TargetState, target: Target) -> float:
    return (state.outstanding + 1) / target.weight if target.weight > 0 else math.inf


def _cost(facts: Facts, target: Target) -> float:
    cost = facts.cost(target)
    return math.inf if cost is None else cost
