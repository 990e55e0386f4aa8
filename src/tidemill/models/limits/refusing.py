"""The words in which a limit says no."""

from __future__ import annotations

from typing import Final

from tidemill.core.errors import BudgetExceeded, Overloaded, RateLimited, TidemillError
from tidemill.models.limits.counting import Meter, Shortage
from tidemill.models.limits.fair import Why
from tidemill.models.limits.headers import duration
from tidemill.models.limits.rules import dollars

_CALLS: Final = {"requests": "requests", "tokens": "tokens", "calls": "calls at a time", "money": "dollars"}


def refusal_of(short: Shortage) -> TidemillError:
    """`BudgetExceeded` when money is gone, else `RateLimited`; it says whose limit, how it stands, and when to come back."""
    meter, wait = short.meter, short.retry_after
    if meter.unit == "money" and short.gone:
        return _no_money(short)
    if short.amount > meter.limit > 0:
        return RateLimited(
            f"this call alone needs about {_amount(meter, short.amount)}, and {_limit(meter)}",
            hint="Ask for less: a shorter prompt or a lower max_tokens. Waiting does not help.",
            where=meter.subject,
        )
    hint = "Wait, or ask for a higher limit." if wait is None else f"Try again in {duration(wait)}."
    held = "; what other calls hold may be given back" if meter.unit == "money" else ""
    used = f"{_limit(meter)}: {_amount(meter, short.used)} used, {_amount(meter, short.amount)} wanted{held}"
    return RateLimited(used, hint=hint, where=meter.subject, retry_after=wait)


def shed(why: Why, *, waited: float) -> Overloaded:
    """What is told to a call that the queue turned away."""
    reason = {
        "full": "more calls wait than are allowed to, and this was the least important",
        "waited": f"no place in {duration(waited)}",
        "gone": "whoever asked has gone",
    }[why]
    return Overloaded(f"too much to do: {reason}", hint="Try again soon.", retry_after=max(1.0, min(waited, 30.0)))


def _no_money(short: Shortage) -> BudgetExceeded:
    meter = short.meter
    period = "for all time" if meter.period == "total" else f"of this {meter.period}"
    begins = "" if short.retry_after is None else f" The next {meter.period} begins in {duration(short.retry_after)}."
    left = max(0, meter.limit - short.used)
    rest = f", and this call may cost {dollars(short.amount)}" if left else ""
    return BudgetExceeded(
        f"the budget {period} of {meter.subject} is used up: {dollars(short.used)} of {dollars(meter.limit)}{rest}",
        hint=f"Ask for a higher budget.{begins}",
        where=meter.subject,
        retry_after=short.retry_after,
    )


def _limit(meter: Meter) -> str:
    span = "" if meter.unit == "calls" else f" a {meter.period or 'minute'}"
    most = dollars(meter.limit) if meter.unit == "money" else f"{meter.limit:,} {_CALLS[meter.unit]}"
    return f"{meter.subject} may use {most}{span}"


def _amount(meter: Meter, amount: int) -> str:
    return dollars(amount) if meter.unit == "money" else f"{amount:,}"
