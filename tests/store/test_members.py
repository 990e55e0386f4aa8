from __future__ import annotations

import threading

import pytest

from tidemill.core.errors import Conflict, Invalid, NotFound, Unauthenticated
from tidemill.store import access, audit, members, people, projects


def add(database, name="ana", **more):
    return database.write_sync(lambda db: members.add_member(db, name, now_ns=1, by="admin", **more))


def grant(database, name="ana", **more):
    wanted = {"project": "shop", "effect": "allow", "now_ns": 2, "by": "admin"} | more
    return database.write_sync(lambda db: members.add_grant(db, name, **wanted))


def key(database, **more):
    return database.write_sync(lambda db: access.create_key(db, "shop", now_ns=1, **more))


def come(database, text):
    return database.read_sync(lambda db: access.authenticate(db, text, admin_token_hash=None))


def lines(database, project):
    return [(each.action, each.target) for each in database.read_sync(lambda db: audit.read_chain(db, project))]


def test_keys_of_somebody_who_is_added_keep_working(database):
    _, text = key(database, role="reviewer", person="ana")
    assert come(database, text).decide("approve").allowed
    member, granted = add(database)
    assert [(each.project, each.role) for each in granted] == [("shop", "reviewer")]
    assert come(database, text).within("shop").decide("approve").allowed
    assert member.who == "person/ana"
    database.write_sync(lambda db: members.remove_grant(db, "shop", granted[0].id, now_ns=3, by="admin"))
    with pytest.raises(NotFound):
        come(database, text).within("shop")


def test_somebody_disabled_is_let_in_no_more_and_again_when_enabled(database):
    _, text = key(database, role="developer", person="ana")
    add(database)
    for _ in range(2):
        database.write_sync(lambda db: members.change_member(db, "ana", is_disabled=True, now_ns=3, by="admin"))
        with pytest.raises(Unauthenticated, match="the token is not known"):
            come(database, text)
        assert database.read_sync(lambda db: people.roles_of(db, "shop", "person/ana")) == frozenset()
    database.write_sync(lambda db: members.change_member(db, "ana", is_disabled=False, now_ns=4, by="admin"))
    assert come(database, text).decide("develop").allowed
    assert [each for each, _ in lines(database, projects.SYSTEM)] == [
        "project.created",
        "person.added",
        "person.disabled",
        "person.enabled",
    ]


def test_a_service_account_is_no_person(database):
    member, _ = add(database, "ci", is_service=True)
    grant(database, "ci", role="operator")
    _, text = key(database, role="operator", person="ci")
    assert member.who == come(database, text).who == "service/ci"
    assert database.read_sync(lambda db: people.roles_of(db, "shop", "service/ci")) == {"operator"}
    assert not people.is_machine("service/ci")


def test_rules_are_audited_in_their_chain_and_the_same_again_is_none(database):
    add(database)
    first = grant(database, role="developer")
    assert grant(database, role="developer") == first
    denial = grant(database, effect="deny", rights=["deploy"], pattern="endpoint/prod-*")
    grant(database, role="viewer", project="*")
    database.write_sync(lambda db: members.remove_grant(db, "shop", denial.id, now_ns=3, by="admin"))
    assert [each for each, _ in lines(database, "shop")] == [
        "access.granted",
        "access.denial_set",
        "access.denial_lifted",
    ]
    assert ("access.granted", "person/ana") in lines(database, projects.SYSTEM)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"role": "king"}, "'king' is not a role"),
        ({"rights": ["fly"]}, "'fly' is not something to be allowed"),
        ({}, "either a role or some verbs"),
        ({"role": "viewer", "rights": ["read"]}, "either a role or some verbs"),
        ({"rights": ["deploy"], "pattern": "x" * 10_000_000}, "is not a pattern"),
        ({"rights": ["deploy"], "pattern": "endpoint/[a"}, "is not a pattern"),
        ({"rights": ["read"], "pattern": "endpoint/*"}, "read is of the whole project"),
        ({"effect": "deny", "role": "viewer"}, "names what is denied, not a role"),
    ],
)
def test_a_rule_that_is_none_is_refused(database, wanted, said):
    add(database)
    with pytest.raises(Invalid, match=said):
        grant(database, **wanted)


def test_nobody_known_is_granted_nothing(database):
    add(database)
    with pytest.raises(NotFound) as caught:
        grant(database, "anna", role="viewer")
    assert caught.value.hint == "Did you mean ana?"
    with pytest.raises(Conflict):
        add(database)
    with pytest.raises(Invalid):
        add(database, "Ana Smith")
    with pytest.raises(Invalid):
        add(database, "a" * 10_000_000)
    with pytest.raises(Invalid, match="not an e-mail address"):
        add(database, "bob", email="bob")


def test_grants_and_revocations_at_once_leave_a_whole_chain(database):
    add(database)
    _, text = key(database, role="admin", person="ana")
    failures = []

    def change(number):
        try:
            for n in range(8):
                made = grant(database, rights=["deploy"], pattern=f"endpoint/{number}-{n}")
                come(database, text)
                database.write_sync(lambda db, made=made: members.remove_grant(db, "shop", made.id, now_ns=3, by="admin"))
        except Exception as error:  # noqa: BLE001  (told below)
            failures.append(error)

    threads = [threading.Thread(target=change, args=(n,)) for n in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    assert database.read_sync(lambda db: audit.verify(db, "shop")).ok
    assert len(lines(database, "shop")) == 4 * 8 * 2 + 1


def test_a_key_is_narrowed_ends_and_is_rotated(database):
    key_id, text = key(database, role="developer", may=["read", "approve"], expires_ns=100)
    found = come(database, text)
    assert found.decide("read").allowed
    assert not found.decide("approve").allowed
    assert not found.decide("develop").allowed
    access.check_in_time(found, now_ns=99)
    with pytest.raises(Unauthenticated, match="the token is not known"):
        access.check_in_time(found, now_ns=100)
    new, fresh = database.write_sync(lambda db: access.rotate_key(db, "shop", key_id, overlap_ns=10, now_ns=50, by="admin"))
    assert (new.role, new.rights, new.expires_ns) == ("developer", frozenset({"read", "approve"}), 149)
    assert come(database, fresh).key_id == new.id
    access.check_in_time(come(database, text), now_ns=59)
    with pytest.raises(Unauthenticated):
        access.check_in_time(come(database, text), now_ns=60)
    with pytest.raises(Conflict, match="is expired"):
        database.write_sync(lambda db: access.rotate_key(db, "shop", key_id, overlap_ns=0, now_ns=60, by="admin"))
    with pytest.raises(NotFound):
        database.write_sync(lambda db: access.rotate_key(db, "other", new.id, overlap_ns=0, now_ns=60, by="admin"))
    with pytest.raises(Invalid, match="would have expired already"):
        key(database, expires_ns=1)


def test_last_uses_are_kept_and_never_go_back(database):
    key_id, _ = key(database)
    for used in ({key_id: 70}, {key_id: 60}, {"nobody": 5}, {}):
        database.write_sync(lambda db, used=used: access.note_uses(db, used))
    assert database.read_sync(lambda db: access.get_key(db, "shop", key_id)).used_ns == 70


def test_an_archived_project_takes_no_apply_and_comes_back(database):
    database.write_sync(lambda db: projects.create_project(db, "shop", description="x", now_ns=1, by="admin"))
    database.write_sync(lambda db: projects.change_project(db, "shop", is_archived=True, now_ns=2, by="admin"))
    with pytest.raises(Conflict, match="archived"):
        database.write_sync(lambda db: projects.ensure_project(db, "shop", now_ns=3))
    found = database.write_sync(lambda db: projects.change_project(db, "shop", is_archived=False, now_ns=4, by="admin"))
    assert found.archived_ns is None
    with pytest.raises(Conflict, match="already"):
        database.write_sync(lambda db: projects.create_project(db, "shop", now_ns=1, by="admin"))
    assert [each for each, _ in lines(database, "shop")] == ["project.archived", "project.restored"]
