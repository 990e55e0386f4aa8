from __future__ import annotations

import datetime as dt
import subprocess
import sys

import genai_prices
import pytest

from tidemill.core.chat import Usage
from tidemill.pricing import cost_of

AT = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
AT_NS = int(AT.timestamp()) * 1_000_000_000
MODELS = [
    ("openai", "gpt-4o-mini"), ("openai", "gpt-4o-mini-2024-07-18"), ("openai", "gpt-4.1"),
    ("openai", "text-embedding-3-small"), ("anthropic", "claude-3-5-haiku-latest"),
    ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro"), ("deepseek", "deepseek-chat"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "model"), MODELS)
@pytest.mark.parametrize(("tokens", "cached"), [(1000, 0), (1000, 250), (300_000, 1000)])
def test_costs_agree_with_the_price_list_also_in_tiers(provider, model, tokens, cached):
    listed = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=tokens, output_tokens=77, cache_read_tokens=cached),
        model,
        provider_id=provider,
        genai_request_timestamp=AT,
    )
    cost = cost_of(provider, model, Usage(input_tokens=tokens, output_tokens=77, cached_tokens=cached), at_ns=AT_NS)
    assert cost == pytest.approx(float(listed.total_price), rel=1e-9)
    assert cost > 0


def test_a_known_price():
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    assert cost_of("openai", "gpt-4o-mini", usage) == pytest.approx(0.75)


def test_what_runs_here_is_free():
    assert cost_of("local", "smollm2-135m", Usage(input_tokens=10)) == 0.0
    assert cost_of("test", "", Usage(input_tokens=10)) == 0.0


@pytest.mark.parametrize(("provider", "model"), [("openai", "no-such-model"), ("no-such-provider", "gpt-4o"), ("openai", "")])
def test_no_price_is_none_and_not_zero(provider, model):
    assert cost_of(provider, model, Usage(input_tokens=10)) is None


def test_more_cached_than_input_is_not_charged_twice():
    odd = cost_of("openai", "gpt-4o-mini", Usage(input_tokens=10, cached_tokens=20))
    assert odd == cost_of("openai", "gpt-4o-mini", Usage(input_tokens=10, cached_tokens=10))


def test_importing_and_free_models_do_not_load_the_price_list():
    code = (
        "import sys; from tidemill.pricing import cost_of; from tidemill.core.chat import Usage;"
        "cost_of('test', 'x', Usage()); sys.exit('genai_prices' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
