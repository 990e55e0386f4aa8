"""What grants and denials mean, without a server."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.errors import NotFound
from tidemill.store import access
from tidemill.store.access import Principal
from tidemill.store.grants import EVERY_RIGHT, NARROWED, RIGHTS, ROLES, Grant, Standing, matches, meet


def grant(effect="allow", *, role=None, may=(), on="*", project="shop", name="g1"):
    return Grant(id=name, member="ana", project=project, effect=effect, role=role, rights=frozenset(may), pattern=on)


def standing(*grants, disabled=False):
    return Standing(member="ana", is_disabled=disabled, grants=tuple(grants)).within("shop")


def key(role="admin", *, may=None, of=None, project="shop"):
    return Principal(
        project=project, is_admin=False, endpoints=None, key_id="k", role=role, rights=may and frozenset(may), standing=of
    )


def test_nothing_granted_is_nothing_allowed():
    for right in EVERY_RIGHT:
        decision = standing().decide(right)
        assert not decision.allowed
        assert decision.why == f"no grant gives person/ana {right} here"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_allows_what_it_has(role):
    assert {right for right in EVERY_RIGHT if standing(grant(role=role)).decide(right).allowed} == RIGHTS[role]


def test_a_denial_wins_over_every_grant():
    found = standing(grant(role="admin"), grant("deny", may=["deploy"], name="g2"), grant(may=["deploy"], on="endpoint/x"))
    decision = found.decide("deploy", "endpoint/x")
    assert not decision.allowed
    assert decision.why == "denied by g2 (deploy in shop)"
    assert decision.rule is not None
    assert decision.rule.id == "g2"
    assert found.decide("develop").allowed


def test_a_denial_for_a_pattern_leaves_the_rest():
    found = standing(grant(role="operator"), grant("deny", may=["deploy"], on="endpoint/prod-*"))
    assert not found.decide("deploy", "endpoint/prod-1").allowed
    assert found.decide("deploy", "endpoint/staging").allowed
    assert found.may_somewhere("deploy")


def test_a_narrowed_grant_reaches_what_it_matches_and_reads_the_project():
    found = standing(grant(may=["deploy"], on="endpoint/prod-*"))
    assert found.decide("deploy", "endpoint/prod-1").allowed
    assert not found.decide("deploy", "endpoint/staging").allowed
    assert not found.decide("deploy").allowed
    assert found.decide("read").allowed
    assert found.may_somewhere("deploy")
    assert "g1 (read, deploy on endpoint/prod-* in shop) is for something else" in found.decide("deploy", "endpoint/a").why


def test_a_narrowed_role_does_not_administer():
    found = standing(grant(role="admin", on="endpoint/*"))
    assert not found.decide("administer").allowed
    assert found.decide("annotate").allowed
    assert found.role("endpoint/x") == "admin"
    assert found.role("chain/x") == "viewer"


def test_grants_of_another_project_do_not_count_and_those_of_every_project_do():
    assert not standing(grant(role="admin", project="other")).decide("read").allowed
    assert standing(grant(role="admin", project="*")).decide("administer").allowed


def test_somebody_disabled_may_nothing():
    assert not any(standing(grant(role="admin"), disabled=True).decide(right).allowed for right in EVERY_RIGHT)


@pytest.mark.parametrize(
    ("pattern", "target", "fits"),
    [
        ("endpoint/prod-*", "endpoint/prod-1", True),
        ("endpoint/prod-*", "endpoint/production", False),
        ("chain/help", "chain/help@live", True),
        ("chain/*@production", "chain/help@production", True),
        ("chain/*@production", "chain/help@staging", False),
        ("chain/*@production", "chain/help", False),
        ("*/help", "chain/help", True),
    ],
)
def test_patterns(pattern, target, fits):
    assert matches(pattern, target) == fits


@pytest.mark.parametrize(("one", "other"), [*itertools.product(ROLES, ROLES)])
def test_the_meeting_of_two_roles_is_within_both(one, other):
    both = meet(one, other)
    assert RIGHTS[both] <= RIGHTS[one] & RIGHTS[other]
    assert meet(one, one) == one
    assert {one, other} >= {both} or both == "annotator"


_GRANTS = st.builds(
    grant,
    st.sampled_from(["allow", "deny"]),
    may=st.sets(st.sampled_from(sorted(NARROWED)), min_size=1),
    on=st.sampled_from(["*", "endpoint/*", "endpoint/a", "chain/*"]),
)


@given(st.lists(_GRANTS, max_size=5), st.sampled_from(sorted(NARROWED)), st.sampled_from(["", "endpoint/a", "chain/b"]))
def test_one_more_denial_never_allows_and_one_more_grant_never_denies(rules, right, target):
    before = standing(*rules).decide(right, target).allowed
    assert not (standing(*rules, grant("deny", may=[right])).decide(right, target).allowed)
    wider = standing(*rules, grant(may=[right], on="endpoint/*")).decide(right, target).allowed
    assert wider >= before
    assert not before or standing(*rules).may_somewhere(right)


def test_a_key_may_what_it_and_its_person_may():
    ana = standing(grant(role="developer"))
    assert key(of=ana).within("shop").decide("develop").allowed
    assert not key(of=ana).within("shop").decide("approve").allowed
    assert not key(may=["read"], of=ana).within("shop").decide("develop").allowed
    assert key("viewer", may=["read"], of=ana).within("shop").role == "viewer"
    assert key("admin", of=ana).within("shop").role == "developer"
    assert key("reviewer", of=ana).within("shop").role == "annotator"


def test_another_project_is_not_there():
    with pytest.raises(NotFound, match="there is no project 'other'"):
        key().within("other")
    with pytest.raises(NotFound, match="there is no project 'shop'"):
        key(of=standing()).within("shop")
    assert access.admin().within("other").is_admin
