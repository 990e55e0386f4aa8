"""Which claim wins, and that the others are kept."""

from __future__ import annotations

from models.listings import row
from tidemill.models.catalogue import Catalogue


def only(*rows):
    (entry,) = Catalogue(rows).entries.values()
    return entry


def price(entry, seller):
    return next(each for each in entry.offers if each.seller == seller).prices["input_price"]


def test_the_newest_price_wins_and_the_older_is_kept_and_shown() -> None:
    entry = only(row("old", date="2026-01-01", input_price=5.0), row("new", date="2026-06-01", rank=9, input_price=4.0))
    fact = price(entry, "openai")
    assert (fact.value, fact.won.source, fact.won.date, fact.agreed) == (4.0, "new", "2026-06-01", False)
    assert [(each["value"], each["source"], each["date"]) for each in fact.to_json()["claims"]] == [
        (4.0, "new", "2026-06-01"), (5.0, "old", "2026-01-01"),
    ]  # fmt: skip


def test_of_one_date_the_better_rank_wins_and_no_date_is_the_oldest() -> None:
    entry = only(
        row("undated", rank=0, input_price=1.0),
        row("worse", date="2026-01-01", rank=3, input_price=3.0),
        row("better", date="2026-01-01", rank=2, input_price=2.0),
    )
    assert price(entry, "openai").won.source == "better"
    assert price(entry, "openai").to_json()["claims"][-1]["date"] is None


def test_zero_loses_against_a_price_whatever_its_date() -> None:
    entry = only(row("plan", date="2026-09-01", input_price=0.0), row("paid", date="2026-01-01", input_price=2.0))
    assert price(entry, "openai").value == 2.0
    assert only(row("a", input_price=0.0), row("b", input_price=0.0)).price == (0.0, None)


def test_a_price_belongs_to_its_seller() -> None:
    entry = only(row(input_price=5.0), row(seller="openrouter", id="openai/gpt-9", input_price=2.0))
    assert (price(entry, "openai").agreed, price(entry, "openai").value, price(entry, "openrouter").value) == (True, 5.0, 2.0)
    assert entry.price == (5.0, None), "the maker's is the one that is shown"
    assert [each.seller for each in entry.offers] == ["openrouter", "openai"], "the cheapest first"


def test_the_makers_word_counts_before_what_others_say() -> None:
    entry = only(
        row(context=128_000, date="2026-01-01"),
        *(row(seller=f"seller{number}", id="gpt-9", context=64_000, date="2026-06-01") for number in range(3)),
    )
    assert entry.context == 128_000
    assert not entry.facts["context"].agreed


def test_without_the_maker_what_most_say_wins() -> None:
    rows = [row(seller=f"s{number}", id="gpt-9", context=size) for number, size in enumerate((8_000, 32_000, 32_000))]
    assert only(*rows).context == 32_000


def test_every_field_has_its_source() -> None:
    entry = only(
        row("list", date="2026-02-03", context=8_000, tools=True, inputs=["image", "text"], outputs=["text"], input_price=1.0)
    )
    assert {(fact.won.source, fact.won.date) for fact in entry.facts.values()} == {("list", "2026-02-03")}
    assert entry.features == {"tools"}
    assert entry.modalities == {"image", "text", "to-text"}


def test_closed_weights_are_under_their_sellers_terms_unless_a_list_says_that_they_are_open() -> None:
    assert only(row(open_weights=False)).verdict.word == "terms"
    assert only(row(open_weights=False), row("two", open_weights=True)).verdict.word == "unknown"
    assert only(row(id="gpt-oss-20b", open_weights=True)).verdict.licence == "Apache-2.0"
