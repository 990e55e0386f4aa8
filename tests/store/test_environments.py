"""Environments and promotions as they are kept, on both databases."""

from __future__ import annotations

import pytest

from tidemill.core.errors import Denied, NotFound
from tidemill.store import aliases, config, environments, promotions, registry
from tidemill.store.promotions import Promotion
from tidemill.testing.policies import LetAll

NOW = 1_750_000_000_000_000_000
AGREES = LetAll()


def put(db, kind: str, name: str, environment: str | None = None, **spec) -> None:
    config.put_config(db, "p", kind, name, environment, spec, now_ns=NOW)


def version(db, kind: str, name: str, spec: dict):
    return registry.add_version(db, project="p", kind=kind, name=name, parsed_spec=spec, refs={}, blobs={}, now_ns=NOW, by="a")[
        0
    ]


def promotion(number: int, **more) -> Promotion:
    given = {
        "id": f"{number:08}", "project": "p", "environment": "production", "root": "chain/x@v1", "release": f"sha256:{number}",
        "before": None, "origin": "staging", "promoted_by": "person/ole", "why": "", "evidence": {"gates": []},
        "promoted_ns": NOW,
    }  # fmt: skip
    return Promotion(**{**given, **more})


def test_an_environment_is_what_documents_and_connections_make(database) -> None:
    def work(db):
        put(db, "environment", "production", **{"from": "staging", "protected": True})
        put(db, "connection", "up", "canada", provider="openai")
        put(db, "connection", "up", provider="anthropic")
        put(db, "connection", "other", provider="openai")
        return (
            environments.names(db, "p", own="laptop"),
            environments.read_environment(db, "p", "production"),
            environments.read_environment(db, "p", "staging"),
            {name: each.spec["provider"] for name, each in environments.connections_in(db, "p", "canada").items()},
            environments.names(db, "other", own="local"),
        )

    names, ruled, free, held, others = database.write_sync(work)
    assert names == ("canada", "laptop", "local", "production", "staging")
    assert (ruled.origin, ruled.protected, ruled.has_rules) == ("staging", True, True)
    assert not free.has_rules
    assert held == {"up": "openai", "other": "openai"}
    assert others == ("local", "production", "staging")
    with pytest.raises(NotFound, match="there is no environment 'producton'") as missing:
        database.read_sync(lambda db: environments.get_environment(db, "p", "producton", own="local"))
    assert "Did you mean production?" in missing.value.hint


def test_an_endpoint_follows_the_alias_that_its_document_names(database) -> None:
    def work(db):
        put(db, "endpoint", "live", release="chain/x@production")
        put(db, "endpoint", "own", "production", app="chain/x@production")
        put(db, "endpoint", "staged", "staging", app="chain/x@production")
        put(db, "endpoint", "still", release="sha256:" + "0" * 64)
        put(db, "endpoint", "other", app="chain/y@production")
        return environments.followers(db, "p", "production", "chain/x"), environments.followers(db, "p", "staging", "chain/x")

    assert database.write_sync(work) == (("live", "own"), ())


def test_the_alias_of_an_environment_with_rules_moves_by_promote_alone(database) -> None:
    def work(db):
        put(db, "environment", "production", **{"from": "staging"})
        made = version(db, "prompt", "ask", {"text": "a", "messages": []})
        aliases.set_alias(db, "p", made.ref, "staging", now_ns=NOW, policies=AGREES, by="a")
        with pytest.raises(Denied, match="moves by a promotion"):
            aliases.set_alias(db, "p", made.ref, "production", now_ns=NOW, policies=AGREES, by="a")
        aliases.set_alias(db, "p", made.ref, "production", now_ns=NOW, policies=AGREES, by="a", door="promote")
        return environments.holdings(db, "p", "production")

    held = database.write_sync(work)
    assert [(each.root, each.version, each.moved_by) for each in held] == [("prompt/ask", 1, "a")]


def test_promotions_are_listed_newest_first_and_stay_in_place_while_more_come(database) -> None:
    def fill(db):
        for number in range(1, 6):
            promotions.add_promotion(db, promotion(number, environment="staging" if number == 3 else "production"))
        promotions.add_promotion(db, promotion(9, project="other"))

    database.write_sync(fill)
    first = database.read_sync(lambda db: promotions.list_promotions(db, "p", environment="production", limit=2))
    assert [each.id for each in first.items] == ["00000005", "00000004"]
    database.write_sync(lambda db: promotions.add_promotion(db, promotion(6)))
    rest = database.read_sync(
        lambda db: promotions.list_promotions(db, "p", environment="production", limit=2, cursor=first.next)
    )
    assert [each.id for each in rest.items] == ["00000002", "00000001"]
    assert rest.next is None
    one = database.read_sync(lambda db: promotions.list_promotions(db, "p", release="sha256:3"))
    assert [each.environment for each in one.items] == ["staging"]
    assert database.read_sync(lambda db: promotions.was_promoted(db, "p", "staging", "sha256:3"))
    assert not database.read_sync(lambda db: promotions.was_promoted(db, "p", "production", "sha256:3"))
    kept = database.read_sync(lambda db: promotions.get_promotion(db, "p", "00000006"))
    assert kept == promotion(6)
    with pytest.raises(NotFound):
        database.read_sync(lambda db: promotions.get_promotion(db, "p", "00000009"))
