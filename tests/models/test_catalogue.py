"""The catalogue of what is installed, and the merge on real catalogues that disagree."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from models.listings import row, shared_catalogues
from tidemill.core.errors import NotFound
from tidemill.models.catalogue import Catalogue, load_catalogue
from tidemill.models.catalogue_card import card, usage
from tidemill.models.catalogue_search import Wanted, search
from tidemill.models.providers import litellm_list, models_dev_list


@pytest.fixture(scope="module")
def installed() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="module")
def shared() -> Catalogue:
    """Of real public data, where it is."""
    named = os.environ.get("TIDEMILL_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    if not (folder / "model_catalogue").is_dir():
        pytest.skip("the shared data is not here: set TIDEMILL_SHARED_DATA to its folder")
    return Catalogue(shared_catalogues(folder / "model_catalogue"))


def names(found) -> list[str]:
    return [each.name for each in found.entries]


def test_the_core_alone_knows_a_thousand_models_and_says_from_where(installed: Catalogue) -> None:
    assert len(installed.entries) > 1000
    assert {each.name for each in installed.sources} >= {"genai-prices", "tidemill"}
    entry = installed.get("gpt-4o")
    assert entry.maker == "openai"
    assert all(claim.source for fact in entry.facts.values() for claim in fact.claims)
    assert all(claim.date for offer in entry.offers for fact in offer.prices.values() for claim in fact.claims)


def test_it_is_loaded_once() -> None:
    assert load_catalogue() is load_catalogue()


def test_what_runs_here_is_listed(installed: Catalogue) -> None:
    found = search(installed, Wanted(providers=frozenset({"local"})))
    assert set(names(found)) == {"smollm2-135m-instruct", "all-minilm-l6-v2"}
    assert {each.verdict.word for each in found.entries} == {"permissive"}


def test_a_model_is_found_under_any_of_its_names(installed: Catalogue) -> None:
    assert installed.get("anthropic/claude-sonnet-4.5") is installed.get("anthropic.claude-sonnet-4-5-v1:0")
    with pytest.raises(NotFound, match="no model 'gpt-4oo'") as refused:
        installed.get("gpt-4oo")
    assert "gpt-4o" in refused.value.hint


def test_facets_narrow_a_search_and_count_what_is_left() -> None:
    catalogue = Catalogue(
        [
            row(
                id="gpt-9",
                input_price=5.0,
                context=200_000,
                tools=True,
                inputs=["image", "text"],
                outputs=["text"],
                type="chat",
            ),
            row(id="gpt-9-mini", input_price=0.5, context=100_000, tools=True, inputs=["text"], outputs=["text"], type="chat"),
            row(seller="groq", id="llama-3.1-8b-instant", input_price=0.05, context=8_000, open_weights=True, type="chat"),
            row(seller="voyageai", id="voyage-9", input_price=0.1, outputs=["embedding"], type="embedding"),
        ]
    )
    assert names(search(catalogue, Wanted(words="GPT mini"))) == ["gpt-9-mini"]
    assert names(search(catalogue, Wanted(words="gpt-9")))[0] == "gpt-9", "the exact name first"
    assert names(search(catalogue, Wanted(modalities=frozenset({"image"})))) == ["gpt-9"]
    assert names(search(catalogue, Wanted(max_price=0.1))) == ["llama-3.1-8b-instant", "voyage-9"]
    assert names(search(catalogue, Wanted(min_context=100_000, max_price=1))) == ["gpt-9-mini"]
    assert names(search(catalogue, Wanted(licences=frozenset({"conditions"})))) == ["llama-3.1-8b-instant"]
    assert names(search(catalogue, Wanted(providers=frozenset({"voyage"})))) == ["voyage-9"], "under any of its seller's names"
    assert names(search(catalogue, Wanted(words="nothing like it"))) == []
    facets = search(catalogue, Wanted(features=frozenset({"tools"}))).facets
    assert facets["maker"] == {"openai": 2}
    assert facets["modality"] == {"text": 2, "to-text": 2, "image": 1}


def test_a_card_says_how_to_use_the_model() -> None:
    catalogue = Catalogue(
        [
            row(input_price=1.0, type="chat"),
            row(seller="groq", id="openai/gpt-9", type="chat"),
            row(id="dall-e-9", type="image"),
        ]
    )
    entry = catalogue.get("gpt-9")
    assert card(entry, catalogue, urls={})["use"] == "kind: model\nname: gpt-9\nprovider: openai\nmodel: gpt-9"
    there = usage(entry, entry.offers, urls={"groq": "https://api.groq.com/openai/v1"}, seller="groq")
    assert there is not None
    assert "base_url: https://api.groq.com/openai/v1\napi_key: env:GROQ_API_KEY" in there
    assert card(catalogue.get("dall-e-9"), catalogue, urls={})["use"] is None


def test_rows_that_make_no_sense_are_left_out() -> None:
    rows = [
        {"model": "sample_spec", "litellm_provider": "one of https://example.org", "max_input_tokens": "text"},
        {"model": "1024-x-1024/50-steps/some.model", "litellm_provider": "bedrock", "output_cost_per_image": 0.04},
        {"model": "together-ai-4.1b-8b", "litellm_provider": "together_ai", "input_cost_per_token": 2e-7},
        {"model": "openai/gpt-9", "litellm_provider": "openai", "input_cost_per_token": -1, "max_input_tokens": True},
        {"litellm_provider": "openai"},
    ]
    (left,) = litellm_list.listings(rows, origin="x")
    assert (left.id, left.facts) == ("gpt-9", {})
    odd = [{"provider": "openai", "model": "m", "cost": "free", "limit": {"context": -1}, "modalities": {"input": "text"}}, {}]
    (left,) = models_dev_list.listings(odd, origin="x")
    assert left.facts == {}


def test_three_catalogues_make_one_of_several_thousand_models(shared: Catalogue) -> None:
    assert len(shared.entries) > 2500
    assert "sample_spec" not in shared.entries
    sources = [{each.source.name for each in entry.listings} for entry in shared.entries.values()]
    assert sum(len(each & {"litellm", "models.dev", "genai-prices"}) > 1 for each in sources) > 500, "joined across them"


def test_where_they_disagree_all_of_them_are_kept(shared: Catalogue) -> None:
    priced = [fact for entry in shared.entries.values() for offer in entry.offers for fact in offer.prices.values()]
    differing = [fact for fact in priced if not fact.agreed]
    assert len(differing) > 50
    for fact in differing:
        shown = fact.to_json()["claims"]
        assert {each["value"] for each in shown} == {each.value for each in fact.claims}
        assert fact.value != 0 or all(each.value == 0 for each in fact.claims)


def test_a_joined_model_has_one_size(shared: Catalogue) -> None:
    """Names that tell a number of parameters are never joined with those that tell another (1.5b, 1-5b and 1p5b are one)."""
    size = re.compile(r"(\d+)b(?![a-z])")
    for entry in shared.entries.values():
        told = {tuple(size.findall(each.id.lower().rpartition("/")[2])) for each in entry.listings} - {()}
        assert len(told) <= 1, (entry.key, told)
