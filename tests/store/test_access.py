from __future__ import annotations

import pytest

from tidemill.core.errors import Denied, Invalid, NotFound, Unauthenticated
from tidemill.store.access import authenticate, create_key, hash_token, list_keys, new_admin_token, revoke_key
from tidemill.store.tables import keys


def test_a_key_opens_its_project_and_endpoints_until_it_is_revoked(database):
    key_id, secret = database.write_sync(
        lambda db: create_key(db, "shop", endpoints=["endpoint/help"], role="viewer", now_ns=1)
    )
    assert secret.startswith(f"tm_{key_id}_")
    who = database.read_sync(lambda db: authenticate(db, secret, admin_token_hash=None))
    assert (who.project, who.is_admin, who.role, who.key_id) == ("shop", False, "viewer", key_id)
    who.check_endpoint("help")
    with pytest.raises(Denied, match="not for endpoint/other"):
        who.check_endpoint("other")
    database.write_sync(lambda db: revoke_key(db, "shop", key_id, now_ns=2))
    with pytest.raises(Unauthenticated):
        database.read_sync(lambda db: authenticate(db, secret, admin_token_hash=None))
    assert [each.revoked_ns for each in database.read_sync(lambda db: list_keys(db, "shop"))] == [2]


def test_the_secret_is_kept_nowhere(database, tmp_path):
    _, secret = database.write_sync(lambda db: create_key(db, "shop", now_ns=1))
    row = database.read_sync(lambda db: db.execute(keys.select()).one())
    assert row.hash == hash_token(secret)
    part = secret.split("_", 2)[2].encode()[:20]
    assert not any(part in each.read_bytes() for each in tmp_path.iterdir())


@pytest.mark.parametrize(
    "presented", [None, "", "x", "tm_", "tm_0_short", "tm_000000000000_" + "a" * 43, "tm_a_" + "é" * 40, "\ud800"]
)
def test_anything_else_is_not_let_in(database, presented):
    admin = hash_token(new_admin_token())
    with pytest.raises(Unauthenticated):
        database.read_sync(lambda db: authenticate(db, presented, admin_token_hash=admin))


def test_the_admin_token_opens_every_project(database):
    token = new_admin_token()
    who = database.read_sync(lambda db: authenticate(db, token, admin_token_hash=hash_token(token)))
    assert (who.project, who.is_admin, who.endpoints) == (None, True, None)


def test_a_key_of_another_project_is_not_revoked(database):
    key_id, secret = database.write_sync(lambda db: create_key(db, "shop", now_ns=1))
    with pytest.raises(NotFound):
        database.write_sync(lambda db: revoke_key(db, "other", key_id, now_ns=2))
    assert database.read_sync(lambda db: authenticate(db, secret, admin_token_hash=None)).project == "shop"


def test_an_unknown_role_is_refused(database):
    with pytest.raises(Invalid, match="'viwer' is not a role") as caught:
        database.write_sync(lambda db: create_key(db, "shop", role="viwer", now_ns=1))
    assert caught.value.hint == "Did you mean viewer?"
