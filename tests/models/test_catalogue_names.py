"""One name for what many list under many names, and no more than that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.models.catalogue_names import is_own_seller, joined_key, key_of, seller_of

SAME = [
    ["anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet@20241022", "anthropic/claude-3.5-sonnet-20241022",
     "us.anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet-20241022"],
    ["claude-opus-4-20250514", "claude-4-opus-20250514", "claude-opus-4@20250514", "anthropic.claude-opus-4-20250514-v1:0"],
    ["claude-opus-4.1", "claude-opus-41", "anthropic/claude-opus-4-1"],
    ["meta-llama/Meta-Llama-3.1-8B-Instruct", "accounts/fireworks/models/llama-v3p1-8b-instruct", "llama3.1-8b-instruct",
     "meta.llama3-1-8b-instruct-v1:0", "@cf/meta/llama-3.1-8b-instruct"],
    ["gpt-4o-2024-08-06", "azure/gpt-4o-2024-08-06", "openai/gpt-4o-20240806"],
    ["gpt-35-turbo", "gpt-3.5-turbo", "openai/gpt-3.5-turbo"],
    ["mistral.mistral-7b-instruct-v0:2", "mistralai/Mistral-7B-Instruct-v0.2"],
    ["Qwen/Qwen2.5-72B-Instruct", "qwen-2.5-72b-instruct", "qwen/qwen-2.5-72b-instruct:free"],
    ["mistral-large-latest", "mistral/mistral-large"],
    ["databricks-claude-3-7-sonnet", "claude-3.7-sonnet"],
    ["command-r+", "cohere-command-r-plus"],
    ["amazon.nova-lite-v1:0", "amazon/nova-lite-v1"],
]  # fmt: skip
APART = [
    ("gpt-4o", "gpt-4o-mini"),
    ("gpt-4o", "gpt-4o-2024-08-06"),
    ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06"),
    ("llama-3.1-8b-instruct", "llama-3.1-70b-instruct"),
    ("llama-3.1-8b-instruct", "llama-3.1-8b-instruct-fp8"),
    ("mistral-7b-instruct-v0.1", "mistral-7b-instruct-v0.2"),
    ("amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0"),
    ("claude-sonnet-5", "claude-sonnet-5:thinking"),
    ("hermes-3-llama-3.1-8b", "llama-3.1-8b"),
    ("ollama/llama3:8b", "ollama/llama3:70b"),
    ("anthropic.claude-v2", "anthropic.claude-v2:1"),
]


@pytest.mark.parametrize("names", SAME, ids=lambda names: names[0])
def test_names_of_one_model_are_joined(names: list[str]) -> None:
    assert len({key_of(each) for each in names}) == 1


@pytest.mark.parametrize(("one", "other"), APART)
def test_models_that_differ_stay_apart(one: str, other: str) -> None:
    assert key_of(one) != key_of(other)


def test_a_word_that_could_mean_anything_stays_its_sellers_own() -> None:
    assert joined_key("auto", "openrouter")[0] != joined_key("auto", "kilo")[0]
    assert joined_key("sonar", "perplexity")[0] == joined_key("perplexity/sonar", "openrouter")[0]


def test_sellers_have_one_name() -> None:
    assert {seller_of(each) for each in ("bedrock", "bedrock_converse", "aws", "amazon-bedrock")} == {"amazon-bedrock"}
    assert seller_of("vertex_ai-anthropic_models") == seller_of("vertex_ai") == "google-vertex"
    assert is_own_seller("alibaba-cn", "alibaba")
    assert not is_own_seller("openrouter", "anthropic")
    assert not is_own_seller("", "")


@given(st.text(alphabet="abcdeglmopstuv0123456789.-_:/@ +", min_size=1, max_size=40))
def test_a_key_is_its_own_key_for_any_name(name: str) -> None:
    key = key_of(name)
    assert key == key_of(name.upper())
    assert "/" not in key
    assert " " not in key
