from __future__ import annotations

import threading

import pytest

from tidemill.core.errors import Invalid, NotFound, Unauthenticated
from tidemill.store import access, members, sessions
from tidemill.store.sessions import IDLE_NS, LINK_NS, LONGEST_NS

DAY = 24 * 3600 * 10**9
NOW = 10**18


def link(database, subject="admin", now_ns=NOW):
    return database.write_sync(lambda db: sessions.make_link(db, subject, now_ns=now_ns, by="admin"))[0]


def use(database, code, now_ns=NOW, **more):
    return database.write_sync(lambda db: sessions.use_link(db, code, agent="a browser", now_ns=now_ns, **more))


def come(database, secret, now_ns=NOW, **more):
    session, principal = database.read_sync(lambda db: sessions.authenticate_session(db, secret))
    sessions.check_session(session, now_ns=now_ns, **more)
    return principal


def test_a_link_logs_in_once(database):
    code = link(database)
    assert come(database, use(database, code)).is_admin
    with pytest.raises(Unauthenticated, match="not valid any more"):
        use(database, code)


def test_of_many_at_once_one_gets_in(database):
    code, got, refused = link(database), [], []

    def try_it():
        try:
            got.append(use(database, code))
        except Unauthenticated as error:
            refused.append(error)

    threads = [threading.Thread(target=try_it) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (len(got), len(refused)) == (1, 5)


@pytest.mark.parametrize("at", [LINK_NS, DAY, -1, -DAY])
def test_a_link_is_good_for_fifteen_minutes_by_any_clock(database, at):
    with pytest.raises(Unauthenticated, match="not valid any more"):
        use(database, link(database), now_ns=NOW + at)
    with pytest.raises(Unauthenticated, match="not valid any more"):
        use(database, "x" * 10_000_000)


def test_a_session_ends_by_idleness_and_by_age_and_not_later_when_the_clock_is_set_back(database):
    secret = use(database, link(database))
    come(database, secret, NOW + IDLE_NS - 1)
    with pytest.raises(Unauthenticated):
        come(database, secret, NOW + IDLE_NS)
    with pytest.raises(Unauthenticated):
        come(database, secret, NOW - 1)
    seen = NOW
    while seen < NOW + LONGEST_NS - IDLE_NS:
        seen += IDLE_NS - 1
        session = database.read_sync(lambda db: sessions.authenticate_session(db, secret))[0]
        database.write_sync(lambda db, at=seen, of=session.id: sessions.note_seen(db, {of: at}))
    with pytest.raises(Unauthenticated):
        come(database, secret, NOW + LONGEST_NS)


def test_neither_a_link_nor_a_session_is_kept_as_it_is(database, tmp_path):
    code = link(database)
    secret = use(database, code)
    row = database.read_sync(lambda db: db.execute(sessions.sessions.select()).one())
    assert row.hash == access.hash_token(secret)
    assert secret not in str(row)
    assert not any(secret.encode() in each.read_bytes() for each in tmp_path.iterdir() if each.is_file())
    assert sessions.csrf_of(secret) not in (secret, row.hash)


def test_logging_in_again_ends_the_session_before(database):
    first = use(database, link(database))
    second = use(database, link(database), ended=first)
    come(database, second)
    with pytest.raises(Unauthenticated):
        come(database, first)


def test_a_person_logs_in_while_they_are_known_and_not_disabled(database):
    with pytest.raises(NotFound):
        link(database, "person/ana")
    database.write_sync(lambda db: members.add_member(db, "ana", now_ns=1, by="admin"))
    secret = use(database, link(database, "person/ana"))
    assert come(database, secret).who == "person/ana"
    waiting = link(database, "person/ana")
    database.write_sync(lambda db: members.change_member(db, "ana", is_disabled=True, now_ns=2, by="admin"))
    with pytest.raises(Unauthenticated):
        come(database, secret)
    with pytest.raises(Invalid, match="ana is disabled"):
        use(database, waiting)
    database.write_sync(lambda db: members.add_member(db, "ci", is_service=True, now_ns=1, by="admin"))
    with pytest.raises(Invalid, match="does not log in"):
        link(database, "service/ci")
    with pytest.raises(Invalid, match="nobody logs in as"):
        link(database, "pipeline/x")


def test_a_session_of_a_key_ends_with_the_key(database):
    key_id, _ = database.write_sync(lambda db: access.create_key(db, "shop", role="viewer", now_ns=1))
    secret = use(database, link(database, f"key/{key_id}"))
    assert come(database, secret).role == "viewer"
    database.write_sync(lambda db: access.revoke_key(db, "shop", key_id, now_ns=2))
    with pytest.raises(Unauthenticated):
        come(database, secret)


def test_sessions_are_listed_and_ended_and_do_not_grow_without_end(database):
    for _ in range(60):
        use(database, link(database))
    found = database.read_sync(lambda db: sessions.list_sessions(db, now_ns=NOW, limit=1000))
    assert len(found.items) == 50
    first = found.items[0]
    with pytest.raises(NotFound):
        database.write_sync(lambda db: sessions.end_session(db, first.id, subject="person/eve", now_ns=NOW, by="x"))
    database.write_sync(lambda db: sessions.end_session(db, first.id, now_ns=NOW, by="admin"))
    page = database.read_sync(lambda db: sessions.list_sessions(db, now_ns=NOW, limit=20))
    rest = database.read_sync(lambda db: sessions.list_sessions(db, now_ns=NOW, limit=1000, cursor=page.next))
    assert len(page.items) + len(rest.items) == 49
    assert database.read_sync(lambda db: sessions.list_sessions(db, now_ns=NOW + IDLE_NS)).items == ()
    with pytest.raises(Invalid, match="cursor"):
        database.read_sync(lambda db: sessions.list_sessions(db, now_ns=NOW, cursor="🦊"))
