"""Counters written as slowly and plainly as can be: every use is a line in a list, and every question reads the whole list."""

from __future__ import annotations

from tidemill.models.limits.counting import Grant, Shortage
from tidemill.models.limits.windows import SLOTS


class Oracle:
    """What the counters should say. Lines are [key, second, amount]; what is held is in a list of its own."""

    def __init__(self, clock):
        self.clock = clock
        self.lines = []
        self.used = {}
        self.held = []

    def count(self, claim):
        if claim.meter.shape == "minute":
            second = int(self.clock.monotonic())
            return sum(amount for key, at, amount in self.lines if key == claim.key and at > second - SLOTS)
        return self.used.get(claim.key, 0) + sum(amount for key, amount in self.held if key == claim.key)

    def settled(self, claim):
        return self.used.get(claim.key, 0) if claim.meter.shape == "period" else self.count(claim)

    def reserve(self, claims):
        for claim in claims:
            if self.count(claim) + claim.amount > claim.meter.limit:
                return None
        held = []
        for claim in claims:
            minute = claim.meter.shape == "minute"
            line = [claim.key, int(self.clock.monotonic()), claim.amount] if minute else [claim.key, claim.amount]
            (self.lines if minute else self.held).append(line)
            held.append(line)
        return held

    def settle(self, claims, held, used):
        second = int(self.clock.monotonic())
        for claim, line, each in zip(claims, held, used, strict=True):
            if claim.meter.shape == "level":
                self.held.remove(line)
            elif claim.meter.shape == "period":
                self.held.remove(line)
                self.used[claim.key] = self.used.get(claim.key, 0) + max(0, each)
            elif line[1] > second - SLOTS:
                line[2] = max(0, each)
            elif each > line[2]:
                self.lines.append([claim.key, second, each - line[2]])


def agree(found, expected):
    return isinstance(found, Grant if expected is not None else Shortage)
