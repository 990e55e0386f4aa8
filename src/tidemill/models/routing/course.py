"""The course of one request through a route: which target is asked next, and what each outcome teaches about it.

Pure: the moment is given with every call, and nothing waits. Whoever makes the attempts hands each back exactly once, to
`served`, `failed` or `abandoned`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from tidemill.core.errors import FailureKind
from tidemill.models.retry import RetryPolicy
from tidemill.models.routing.breaker import Pass
from tidemill.models.routing.facts import Facts
from tidemill.models.routing.rank import Ranked, rank
from tidemill.models.routing.spec import Route, Target
from tidemill.models.routing.state import RouteState, TargetState

_FAULTS: Final[frozenset[FailureKind]] = frozenset({"overloaded", "timeout", "connection", "server", "auth"})
"""Failures that say something of the target; the others say it of the request, or of how much was asked."""
_AGAIN: Final[frozenset[FailureKind]] = frozenset({"rate_limited", "overloaded", "timeout", "connection", "server"})
"""Failures that may pass at the same target."""
_COOLING: Final = 1.0  # seconds after a rate limit that names no time
_LONGEST_COOLING: Final = 60.0
_PATIENCE: Final = 0.02  # seconds before the first look while a probe is out
_LONGEST_PATIENCE: Final = 0.1  # seconds: another request may have found somebody well again
_LONG_ENOUGH: Final = 1.0  # seconds of silence that count against a target of which nothing is known
_MARGIN: Final = 1.25  # an estimate of the length may be so far off


@dataclass(kw_only=True, slots=True, eq=False)
class Attempt:
    """One attempt, decided on. `delay` is to be waited before it; `timeout` bounds it, or a stream's first token. In seconds.

    `why` says why this target, `number` counts the request's attempts from 1. `is_in_doubt`: that it took too long may be the
    fault of who made it.
    """

    target: Target
    state: TargetState
    number: int
    why: str
    delay: float
    timeout: float
    leave: Pass
    started: float
    is_hedge: bool = False
    is_bound_by_caller: bool = False
    is_in_doubt: bool = False
    is_open: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """Nobody may be asked yet: look again after so many seconds."""

    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """Nobody is left. `reasons` says of each target why it was not asked, by its name; `retry_after` when one may be again."""

    reasons: dict[str, str]
    retry_after: float | None = None


Next: TypeAlias = Attempt | Wait | End


@dataclass(kw_only=True, slots=True)
class _Tried:
    times: int = 0
    failure: FailureKind | None = None
    delay: float | None = None


class Course:
    """Decides for one request. `states` are those of `route.targets`, by their index."""

    __slots__ = (
        "_attempts", "_facts", "_failure", "_hedged", "_policy", "_ranked", "_route", "_shortest", "_state", "_states",
        "_tried", "_waited", "_waits",
    )  # fmt: skip

    def __init__(
        self, route: Route, state: RouteState, states: Sequence[TargetState], *, facts: Facts, now: float,
        policy: RetryPolicy, chance: Callable[[], float],
    ) -> None:  # fmt: skip
        self._route = route
        self._state = state
        self._states = states
        self._facts = facts
        self._policy = policy
        self._attempts = 0
        self._waited = 0.0
        self._waits = 0
        self._hedged = False
        self._failure: FailureKind | None = None
        self._shortest = 0  # the largest context that was too short
        self._tried: dict[int, _Tried] = {}
        state.requests += 1
        holding = [each for each in route.targets if facts.holds(each)]
        self._ranked = rank(route, holding, states, facts=facts, now=now, chance=chance)
        if route.hedge is not None:
            state.hedges.share = route.hedge.share
            state.hedges.earn()

    @property
    def attempts(self) -> int:
        """Attempts decided on so far."""
        return self._attempts

    def next(self, now: float) -> Next:
        """What to do now: make an attempt, wait, or give up."""
        if self._attempts >= self._route.attempts:
            return End(reasons={"": f"{self._attempts} attempts are the most of {self._route.name}"})
        candidates = self._candidates()
        free = [each for each in candidates if each.target.index not in self._tried and self._why_not(each.target, now) is None]
        for each in sorted(free, key=lambda each: self._is_left_to_health(each.target, now)):
            return self._attempt(each.target, self._why(each, now), now, delay=0.0)
        return self._again(candidates, now) or self._last(candidates, now) or self._wait(candidates, now)

    def hedge_after(self, attempt: Attempt, now: float) -> float | None:
        """Seconds after its start at which a second target is asked as well; None when none is to be."""
        hedge = self._route.hedge
        if hedge is None or self._hedged or attempt.is_hedge or self._state.hedges.left < 1:
            return None
        latencies = attempt.state.latencies(stream=self._facts.stream)
        return hedge.after if hedge.after is not None else latencies.recent.quantile(hedge.at, now)

    def hedge(self, attempt: Attempt, now: float) -> Attempt | None:
        """A second attempt beside `attempt`, at another target, if one may be asked and the budget allows it."""
        if self._hedged or self._attempts >= self._route.attempts:
            return None
        for each in self._candidates():
            free = each.target.index not in self._tried and self._why_not(each.target, now) is None
            if free and self._state.hedges.spend():
                self._hedged = True
                made = self._attempt(each.target, f"hedge: {attempt.target.name} is slow", now, delay=0.0)
                made.is_hedge = True
                made.state.hedged += 1
                return made
        return None

    def began(self, attempt: Attempt, now: float) -> None:
        """The first token of a stream has come."""
        attempt.state.first.observe(now - attempt.started, now)
        attempt.state.breaker.began(attempt.leave)

    def served(self, attempt: Attempt, now: float) -> None:
        """The attempt gave the answer."""
        state = self._close(attempt)
        if state is None:
            return
        state.served += 1
        state.served_at = now
        state.retries.earn()
        state.breaker.succeeded(attempt.leave, now)
        if not self._facts.stream:
            state.whole.observe(now - attempt.started, now)

    def failed(
        self, attempt: Attempt, kind: FailureKind, now: float, *, retry_after: float | None = None, said: str = ""
    ) -> None:
        """The attempt failed."""
        state = self._close(attempt)
        if state is None:
            return
        if kind == "timeout" and (attempt.is_in_doubt or self._was_in_a_hurry(attempt, now)):
            state.breaker.abandoned(attempt.leave)
        elif kind in _FAULTS:
            state.breaker.failed(attempt.leave, now)
        elif kind == "rate_limited":
            state.breaker.abandoned(attempt.leave)
            state.cooling_until = max(state.cooling_until, now + min(_LONGEST_COOLING, retry_after or _COOLING))
        else:
            state.breaker.succeeded(attempt.leave, now)
        if kind == "timeout":
            state.latencies(stream=self._facts.stream).average.observe(now - attempt.started, now)
        state.failures[kind] += 1
        state.last_failure = said[:200]
        self._failure = kind
        tried = self._tried[attempt.target.index]
        tried.failure, tried.delay = kind, retry_after
        if kind == "context_length":
            self._shortest = max(self._shortest, attempt.target.context or 0)

    def abandoned(self, attempt: Attempt, *, was_beaten: bool = False) -> None:
        """The attempt was stopped: its caller left, or another was quicker."""
        state = self._close(attempt)
        if state is not None:
            state.lost += was_beaten
            state.breaker.abandoned(attempt.leave)

    def unserved(self) -> None:
        """The request got no answer."""
        self._state.unserved += 1

    def moves_on(self, kind: FailureKind) -> bool:
        """Whether a failure of this kind lets another target be asked."""
        return kind in self._route.moves_on or any(kind in each.after for each in self._route.targets)

    def _candidates(self) -> list[Ranked]:
        """Who may be asked after what has failed so far: those meant for just that come first."""
        failure = self._failure
        if failure is None:
            return [each for each in self._ranked if not each.target.after]
        special = [each for each in self._ranked if failure in each.target.after]
        usual = [each for each in self._ranked if not each.target.after] if failure in self._route.moves_on else []
        return special + usual

    def _again(self, candidates: Sequence[Ranked], now: float) -> Attempt | None:
        """A further attempt at a target that failed in a way that may pass."""
        if not self._can_spare(candidates, now):
            return None
        for each in candidates:
            delay = self._delay(each.target, now)
            if delay is None or self._why_not(each.target, now + delay) is not None:
                continue
            if self._states[each.target.index].retries.spend():
                return self._attempt(each.target, self._why_again(each.target), now, delay=delay)
        return None

    def _last(self, candidates: Sequence[Ranked], now: float) -> Attempt | None:
        """The last resort: one that is left alone, for nobody else is left. Who answered last is asked first."""
        can_spare = self._can_spare(candidates, now)
        for each in sorted(candidates, key=lambda each: -self._states[each.target.index].served_at):
            state = self._states[each.target.index]
            if self._unfit(each.target, now) is not None or state.breaker.wait_last(now) > 0:
                continue
            if each.target.index not in self._tried:
                return self._attempt(each.target, "nobody else is left", now, delay=0.0)
            if can_spare and (delay := self._delay(each.target, now)) is not None and state.retries.spend():
                return self._attempt(each.target, f"{self._why_again(each.target)}, nobody else is left", now, delay=delay)
        return None

    def _can_spare(self, candidates: Sequence[Ranked], now: float) -> bool:
        """Whether an attempt is left beside one for each that was not asked yet and may still be."""
        others = sum(each.target.index not in self._tried and self._is_back_soon(each.target, now) for each in candidates)
        return self._route.attempts - self._attempts > others

    def _delay(self, target: Target, now: float) -> float | None:
        """Seconds before a further attempt at a target that failed; None when there is to be none."""
        tried = self._tried.get(target.index)
        if tried is None or tried.failure not in _AGAIN or tried.times > self._route.retries:
            return None
        delay = tried.delay if tried.delay is not None else self._policy.pause(tried.times)
        late = self._facts.caller.left(now)
        return None if delay > self._policy.longest_delay or (late is not None and delay >= late) else delay

    def _why_again(self, target: Target) -> str:
        return f"again after {self._tried[target.index].failure}"

    def _wait(self, candidates: Sequence[Ranked], now: float) -> Next:
        """Everybody is left alone: the first whose pause ends soon enough is waited for."""
        reasons: dict[str, str] = {}
        soonest: float | None = None
        for each in candidates:
            target, state = each.target, self._states[each.target.index]
            if (tried := self._tried.get(target.index)) is not None:
                reasons[target.name] = f"failed: {tried.failure}"
                if self._delay(target, now) is None or state.retries.left < 1:
                    continue
            else:
                reasons[target.name] = self._why_not(target, now) or ""
            if (pause := self._pause(target, now)) is not None:
                soonest = pause if soonest is None else min(soonest, pause)
        left = self._facts.caller.left(now)
        patience = self._route.wait - self._waited
        if soonest is None or soonest > patience or patience <= 0 or (left is not None and soonest >= left):
            return End(reasons=reasons or {"": "no target's condition holds"}, retry_after=soonest)
        self._waits += 1
        seconds = min(max(soonest, _PATIENCE), _LONGEST_PATIENCE, _PATIENCE * self._waits)
        self._waited += seconds
        return Wait(seconds=seconds)

    def _pause(self, target: Target, now: float) -> float | None:
        """Seconds until a target that is left alone may be asked; None for one that will not be for this request."""
        if self._too_short(target) or self._is_too_late(target, now):
            return None
        state = self._states[target.index]
        return max(min(state.breaker.wait(now), state.breaker.wait_last(now)), state.cooling_until - now, 0.0)

    def _is_back_soon(self, target: Target, now: float) -> bool:
        """Whether the request may still get to ask a target."""
        pause = self._pause(target, now)
        return pause is not None and pause <= self._route.wait - self._waited

    def _why_not(self, target: Target, now: float) -> str | None:
        """Why a target may not be asked now; None when it may."""
        breaker = self._states[target.index].breaker
        if (unfit := self._unfit(target, now)) is not None or breaker.admits(now):
            return unfit
        pause = breaker.wait(now)
        return f"its breaker is open for {pause:.1f} s" if pause else "its breaker is half open, and its probes are out"

    def _unfit(self, target: Target, now: float) -> str | None:
        """Why a target may not be asked whatever its breaker says."""
        if self._too_short(target):
            return f"its context holds {target.context} tokens"
        cooling = self._states[target.index].cooling_until
        if cooling > now:
            return f"rate limited for {cooling - now:.1f} s"
        return "it cannot end before the deadline" if self._is_too_late(target, now) else None

    def _is_left_to_health(self, target: Target, now: float) -> bool:
        """Whether a health probe will try it soon, so that callers go elsewhere while they can."""
        return self._route.health is not None and self._states[target.index].breaker.state(now) != "closed"

    def _too_short(self, target: Target) -> bool:
        if target.context is None:
            return False
        return target.context <= self._shortest or self._facts.length > target.context * _MARGIN

    def _is_too_late(self, target: Target, now: float) -> bool:
        left = self._facts.caller.left(now)
        if left is None:
            return False
        quickest = self._states[target.index].latencies(stream=self._facts.stream).recent.quantile(0.0, now)
        return left <= 0 or (quickest is not None and quickest > left)

    def _why(self, ranked: Ranked, now: float) -> str:
        if self._failure is not None:
            return f"after {self._failure}"
        is_probe = self._states[ranked.target.index].breaker.state(now) != "closed"
        return f"{ranked.why}, as a probe" if is_probe else ranked.why

    def _was_in_a_hurry(self, attempt: Attempt, now: float) -> bool:
        """Whether a target ran out of its caller's time, and not of what it may take: then it says nothing of the target."""
        if not attempt.is_bound_by_caller:
            return False
        usual = attempt.state.latencies(stream=self._facts.stream).recent.quantile(0.95, now)
        return attempt.timeout < (_LONG_ENOUGH if usual is None else 2 * usual)

    def _time_for(self, state: TargetState, target: Target, now: float) -> tuple[float, bool]:
        """How long an attempt may take, and whether it is the caller's deadline that says so.

        While others could still be asked, it is half of the time that is left, or what the target usually takes.
        """
        most = self._route.first_token if self._facts.stream else self._route.timeout
        left = self._facts.caller.left(now)
        if left is None:
            return most, False
        others = any(
            each.target is not target and each.target.index not in self._tried and self._why_not(each.target, now) is None
            for each in self._candidates()
        )
        if others:
            usual = state.latencies(stream=self._facts.stream).recent.quantile(0.95, now)
            left = min(left, max(left / 2, 1.5 * (usual or 0.0)))
        return min(most, left), left < most

    def _attempt(self, target: Target, why: str, now: float, *, delay: float) -> Attempt:
        state = self._states[target.index]
        leave = state.breaker.admit(now + delay) or state.breaker.admit_last(now + delay)
        assert leave is not None, "a target was asked whose breaker does not admit"
        self._attempts += 1
        tried = self._tried.setdefault(target.index, _Tried())
        tried.times += 1
        state.attempts += 1
        state.outstanding += 1
        timeout, is_bound = self._time_for(state, target, now + delay)
        return Attempt(
            target=target, state=state, number=self._attempts, why=why, delay=delay, leave=leave, started=now + delay,
            timeout=timeout, is_bound_by_caller=is_bound,
        )  # fmt: skip

    def _close(self, attempt: Attempt) -> TargetState | None:
        """The attempt's target, the first time that the attempt is handed back."""
        if not attempt.is_open:
            return None
        attempt.is_open = False
        attempt.state.outstanding -= 1
        return attempt.state
