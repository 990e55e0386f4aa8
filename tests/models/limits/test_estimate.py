"""What a call will take: from its length and what it allows, and from what calls of the model took before."""

from __future__ import annotations

import pytest

from models.calls import ask, version
from tidemill.core.chat import Usage
from tidemill.models.caller import Caller
from tidemill.models.calls import Call
from tidemill.models.limits.estimate import Estimator, Quantile, bounded
from tidemill.telemetry import null_recorder

TEXT = "word " * 200


def call(text=TEXT, model=None, **params):
    span = null_recorder().trace("call", kind="llm", project="p")
    caller = Caller(project="p", environment="local")
    asked = ask(text, params=params)
    return Call(operation="chat", model=model or version(), caller=caller, span=span, started=0.0, request=asked)


def test_output_is_what_is_allowed_times_the_answers():
    estimator = Estimator()
    assert estimator.estimate(call(max_tokens=7), now=0.0).output_tokens == 7
    assert estimator.estimate(call(max_completion_tokens=7, n=3), now=0.0).output_tokens == 21
    assert estimator.estimate(call(max_tokens=10**18), now=0.0).output_tokens == 16_000_000
    assert estimator.estimate(call(max_tokens="many", n="many"), now=0.0).output_tokens == 512


def test_an_estimate_comes_nearer_with_every_call():
    estimator = Estimator()
    first = estimator.estimate(call(), now=0.0)
    assert 200 < first.input_tokens < 400
    for made in range(100):
        estimator.learn(call(), first, Usage(input_tokens=208, output_tokens=made), 0.001)
    learned = estimator.estimate(call(), now=1.0)
    assert learned.input_tokens == 208
    assert 85 <= learned.output_tokens <= 99
    other = estimator.estimate(call(model=version(name="other")), now=0.0)
    assert other.input_tokens == first.input_tokens


def test_a_short_text_teaches_nothing_of_long_ones():
    estimator = Estimator()
    before = estimator.estimate(call(), now=0.0).input_tokens
    for _ in range(50):
        short = call("hi")
        estimator.learn(short, estimator.estimate(short, now=0.0), Usage(input_tokens=30, output_tokens=1), None)
    assert estimator.estimate(call(), now=0.0).input_tokens == before


def test_money_is_what_the_list_says_else_what_was_learned():
    priced = version(name="priced", provider="openai", model="gpt-4o-mini")
    found = Estimator().estimate(call(model=priced, max_tokens=1000), now=0.0)
    assert found.cost == pytest.approx(found.input_tokens * 150 + 1000 * 600, rel=0.01)
    estimator = Estimator()
    unknown = version(name="nobody", provider="openai", model="nobody-knows")
    asked = call(model=unknown)
    assert estimator.estimate(asked, now=0.0).cost == 0
    estimator.learn(asked, estimator.estimate(asked, now=0.0), Usage(input_tokens=5), 0.002)
    assert estimator.estimate(asked, now=0.0).cost == 2_000_000


def test_other_scripts_are_counted_by_their_bytes():
    estimator = Estimator()
    assert (
        estimator.estimate(call("潮" * 300), now=0.0).input_tokens
        > 2 * estimator.estimate(call("a" * 300), now=0.0).input_tokens
    )


@pytest.mark.parametrize(
    ("usage", "wanted"),
    [
        (Usage(input_tokens=5, output_tokens=6), (5, 6, False)),
        (Usage(input_tokens=-5, output_tokens=6), (0, 6, True)),
        (Usage(input_tokens=10**18, output_tokens=-1), (16_000_000, 0, True)),
    ],
)
def test_what_is_reported_is_believed_within_bounds(usage, wanted):
    found, is_absurd = bounded(usage)
    assert (found.input_tokens, found.output_tokens, is_absurd) == wanted


def test_nine_in_ten_stay_below():
    quantile = Quantile(3.0)
    assert quantile.value == 3.0
    for sample in range(1, 65):
        quantile.add(sample)
    assert 50 <= quantile.value <= 58
