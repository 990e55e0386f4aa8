from __future__ import annotations

import pytest

from telemetry.dialects.reading import RECORDED, raw_spans
from tidemill.telemetry.dialects import At, Dialect, at, dialects
from tidemill.telemetry.dialects.plan import plan_for
from tidemill.testing import check_dialect

SPANS = [each for file in sorted(RECORDED.glob("*.json")) if "export" not in file.name for each in raw_spans(file)]
FIRST = {}
for _each in SPANS:
    if (
        len(_each.attributes) > len(FIRST.get(plan_for(_each).dialect, _each).attributes)
        or plan_for(_each).dialect not in FIRST
    ):
        FIRST[plan_for(_each).dialect] = _each


@pytest.mark.parametrize("name", sorted(set(FIRST) - {""}))
def test_a_recorded_span_of_each_dialect_passes(name):
    span = FIRST[name]
    (dialect,) = [each for each in dialects() if each.name == name]
    assert check_dialect(dialect, attributes=span.attributes, scope=span.scope, name=span.name).dialect == name


def test_what_a_dialect_may_not_do_is_named():
    with pytest.raises(AssertionError, match="not spoken"):
        check_dialect(Dialect(name="a", keys=("b.",)), attributes={"c": 1})
    with pytest.raises(AssertionError, match="nothing of the span"):
        check_dialect(Dialect(name="a", keys=("b.",)), attributes={"b.c": 1})
    forgets = Dialect(name="a", keys=("b.",), fields={"input": (At("b.c", lambda _value: "other", moves=True),)})
    with pytest.raises(AssertionError, match="nowhere in the record"):
        check_dialect(forgets, attributes={"b.c": "what was said"})
    mixes = Dialect(name="a", keys=("b.",), fields={"user": (At("b.c", lambda value: value),), "input": at("b.d")})
    with pytest.raises(AssertionError, match="user is not text"):
        check_dialect(mixes, attributes={"b.c": "ada", "b.d": "hi"})
