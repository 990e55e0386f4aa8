"""`kind: route`: what a document may say."""

from __future__ import annotations

import pytest

from models.calls import MemoryFiles
from tidemill.core.errors import Invalid
from tidemill.models.routing.kind import RouteKind
from tidemill.testing import check_artifact_kind

KIND = RouteKind()
FULL = {
    "targets": [
        "model/fast",
        {"model": "big", "weight": 2, "order": 1, "when": 'length > 8000 || tags.tier == "gold"', "context": 200_000},
        {"model": "model/safe@v2", "after": ["content_filter", "context_length"], "price": {"input": 3, "output": 15}},
    ],
    "strategy": "latency",
    "sticky": "session",
    "affinity": {"characters": 4000, "load": 1.5},
    "fallback": {"on": ["server", "timeout"], "attempts": 3, "retries": 2, "retry_share": 0.2, "wait": "2s"},
    "breaker": {"failures": 3, "share": 0.4, "window": "10s", "pause": "2s", "longest": "1m", "probes": 2},
    "hedge": {"after": "p95", "share": 0.05},
    "health": {"every": "10s"},
    "timeout": "30s",
    "first_token": "500ms",
    "longest": "10m",
}


def problems(**body):
    with pytest.raises(Invalid) as caught:
        KIND.parse({"targets": ["model/a"], **body}, files=MemoryFiles())
    return [(each.where, f"{each.message} {each.hint}") for each in caught.value.problems]


def test_it_keeps_the_contract_of_kinds():
    check_artifact_kind(KIND, body=FULL, files=MemoryFiles(), other={"targets": ["model/fast"]})


def test_references_and_canonical_form():
    parsed = KIND.parse(FULL, files=MemoryFiles())
    assert parsed.references == {
        "targets.0": "model/fast", "targets.1.model": "model/big", "targets.2.model": "model/safe@v2",
    }  # fmt: skip
    assert parsed.spec["targets"][0] == {"model": "model/fast"}
    assert (parsed.spec["first_token"], parsed.spec["fallback"]["wait"], parsed.spec["breaker"]["longest"]) == (0.5, 2.0, 60.0)
    assert parsed.spec["hedge"] == {"after": "p95", "share": 0.05}
    assert KIND.parse({"targets": ["model/a"], "hedge": {"after": "400ms"}}, files=MemoryFiles()).spec["hedge"] == {
        "after": 0.4
    }


def test_what_changed_is_told_by_target():
    old = KIND.parse(FULL, files=MemoryFiles()).spec
    new = KIND.parse({**FULL, "strategy": "cost"}, files=MemoryFiles()).spec
    assert list(KIND.diff(old, new)) == ["strategy latency -> cost"]


@pytest.mark.parametrize(
    ("body", "where", "said"),
    [
        ({"targets": []}, "targets", "at least 1"),
        ({"targets": ["chain/x"]}, "targets.0", "a model is needed"),
        ({"targets": [{"model": "route/x"}]}, "targets.0.model", "a model is needed"),
        ({"targets": [{"model": "model/a", "when": "length >"}]}, "targets.0.when", "is not CEL"),
        ({"targets": [{"model": "model/a", "when": "lenght > 1"}]}, "targets.0.when", "Did you mean length?"),
        ({"targets": [{"model": "model/a", "after": ["server"]}]}, "targets", "waits for another"),
        ({"targets": [{"model": "model/a", "weight": 0}]}, "targets", "no target has weight"),
        ({"strategy": "fastest"}, "strategy", "ordered"),
        ({"fallback": {"on": ["sometimes"]}}, "fallback.on.0", "rate_limited"),
        ({"fallback": {"attempts": 0}}, "fallback.attempts", "greater than or equal to 1"),
        ({"hedge": {"after": "p97"}}, "hedge.after", "p95"),
        ({"timeout": "soon"}, "timeout", "Write 30s"),
        ({"timeout": 0}, "timeout", "greater than 0"),
        ({"strateg": "cost"}, "strateg", "Did you mean strategy?"),
    ],
)
def test_mistakes_are_named_with_their_place(body, where, said):
    found = problems(**body)
    assert any(place.startswith(where) and said in text for place, text in found), found
