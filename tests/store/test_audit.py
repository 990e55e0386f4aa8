from __future__ import annotations

import hashlib
import json
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.core.errors import Invalid
from tidemill.store import audit
from tidemill.store.audit import append, list_entries, parse_anchor, read_chain, verify


def add(database, n, *, project="shop", **more):
    line = {"who": "person/ana", "action": "deploy", "target": "endpoint/help", "detail": {"n": n}, "now_ns": n} | more
    return database.write_sync(lambda db: append(db, project, **line))


def check(database, **more):
    return database.read_sync(lambda db: verify(db, "shop", **more))


def tamper(database, *statements):
    """Write past Tidemill, as somebody with a connection of their own could."""
    mark = "%s" if database.is_shared else "?"
    with database.engine.begin() as connection:
        for statement, *parameters in statements:
            connection.exec_driver_sql(statement.replace("?", mark), *parameters)


@pytest.fixture
def chain(database):
    for n in range(1, 6):
        add(database, n)
    return database


def test_a_chain_holds_and_an_empty_one_too(chain):
    report = check(chain)
    assert (report.ok, report.lines, report.broken) == (True, 5, None)
    assert report.head is not None
    assert report.head[0] == 5
    assert chain.read_sync(lambda db: verify(db, "empty")).ok


def test_projects_have_chains_of_their_own(chain):
    assert add(chain, 1, project="other").number == 1
    assert check(chain).lines == 5


@pytest.mark.parametrize(
    ("statement", "fault", "line"),
    [
        ("UPDATE audit SET who = 'person/ben' WHERE number = 3", "altered", 3),
        ("UPDATE audit SET detail = '{\"n\": 4}' WHERE number = 3", "altered", 3),
        ("UPDATE audit SET detail = 'no json' WHERE number = 3", "altered", 3),
        ("UPDATE audit SET detail = x'ff' WHERE number = 3", "altered", 3),
        ("UPDATE audit SET who = x'ff' WHERE number = 3", "altered", 3),
        ("UPDATE audit SET at_ns = at_ns + 1 WHERE number = 5", "altered", 5),
        ("UPDATE audit SET at_ns = 'noon' WHERE number = 2", "altered", 2),
        ("DELETE FROM audit WHERE number = 3", "removed", 3),
        ("DELETE FROM audit WHERE number = 1", "removed", 1),
        ("DELETE FROM audit WHERE number = 5", "truncated", 5),
        ("DELETE FROM audit WHERE number > 1", "truncated", 2),
        ("DELETE FROM audit", "truncated", 1),
    ],
)
def test_a_tampered_line_is_named(chain, statement, fault, line):
    if chain.is_shared and ("x'ff'" in statement or "'noon'" in statement):
        pytest.skip("PostgreSQL keeps no value of another type in a column")
    tamper(chain, (statement,))
    report = check(chain)
    assert (report.ok, report.fault, report.broken) == (False, fault, line)
    assert str(line) in report.message


def test_lines_in_another_order_are_named(chain):
    swap = "UPDATE audit SET number = ? WHERE number = ?"
    tamper(chain, (swap, (99, 2)), (swap, (2, 3)), (swap, (3, 99)))
    report = check(chain)
    assert (report.fault, report.broken) == ("reordered", 2)


def test_a_removed_line_shows_when_the_rest_moves_up(chain):
    tamper(chain, ("DELETE FROM audit WHERE number = 3",), ("UPDATE audit SET number = number - 1 WHERE number > 3",))
    report = check(chain)
    assert (report.fault, report.broken) == ("removed", 3)


def test_a_forged_line_at_the_end_is_named(chain):
    entries = list(chain.read_sync(lambda db: list(read_chain(db, "shop"))))
    forged = audit.AuditEntry(
        project="shop", number=6, at_ns=6, who="admin", action="deploy", target="x", previous=entries[-1].digest
    )
    row = ("shop", 6, 6, "admin", "deploy", "x", "{}", forged.previous, audit.digest_of(forged))
    tamper(chain, ("INSERT INTO audit VALUES (?,?,?,?,?,?,?,?,?)", row))
    report = check(chain)
    assert (report.fault, report.broken) == ("added", 6)


def test_a_chain_cut_with_its_head_fails_at_the_anchor(chain):
    kept = check(chain).head
    entries = chain.read_sync(lambda db: list(read_chain(db, "shop")))
    tamper(
        chain,
        ("DELETE FROM audit WHERE number > 3",),
        ("UPDATE audit_heads SET number = 3, digest = ?", (entries[2].digest,)),
    )
    assert check(chain).ok
    report = check(chain, anchor=kept)
    assert (report.fault, report.broken) == ("truncated", 4)


def test_a_chain_written_again_fails_at_the_anchor(chain):
    kept = check(chain).head
    tamper(chain, ("DELETE FROM audit",), ("DELETE FROM audit_heads",))
    for n in range(2, 8):
        add(chain, n)
    assert check(chain).ok
    report = check(chain, anchor=kept)
    assert (report.fault, report.broken) == ("rewritten", 5)


def test_the_export_is_checked_by_a_few_lines(chain):
    lines = chain.read_sync(lambda db: [each.exported() for each in read_chain(db, "shop")])
    previous = "sha256:" + "0" * 64
    for line in lines:
        entry = json.loads(line)
        assert entry["digest"] == "sha256:" + hashlib.sha256(line[92:-1]).hexdigest()
        assert entry["entry"]["previous"] == previous
        previous = entry["digest"]


def test_lists_filter_and_page(chain):
    add(chain, 6, action="policy.denied", who="person/ben")
    add(chain, 7, action="policy.allowed", target="endpoint/other")
    add(chain, 8, action="policies", target="endpoint/other")

    def numbers(**more):
        return [each.number for each in chain.read_sync(lambda db: list_entries(db, "shop", **more)).items]

    assert numbers(action="policy") == [7, 6]
    assert numbers(action="policy.denied") == [6]
    assert numbers(who="person/ben") == [6]
    assert numbers(target="endpoint/other") == [8, 7]
    assert numbers(since_ns=7) == [8, 7]
    page = chain.read_sync(lambda db: list_entries(db, "shop", limit=3))
    assert ([each.number for each in page.items], page.next) == ([8, 7, 6], "6")
    assert numbers(cursor=page.next) == [5, 4, 3, 2, 1]
    with pytest.raises(Invalid, match="cursor"):
        numbers(cursor="x")


def test_what_is_not_kept_leaves_no_line(chain):
    def fails(db):
        append(db, "shop", who="admin", action="deploy", target="x", detail={}, now_ns=9)
        raise Invalid("no")

    with pytest.raises(Invalid):
        chain.write_sync(fails)
    assert check(chain).lines == 5


def test_lines_added_at_once_follow_each_other(database):
    start = threading.Barrier(4)

    def work(n):
        start.wait()
        for each in range(25):
            add(database, n * 100 + each)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    report = check(database)
    assert (report.ok, report.lines) == (True, 100)


_texts = st.text(st.characters(exclude_categories=()), max_size=5)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)


@given(lines=st.lists(st.tuples(_texts, st.dictionaries(_texts, _values, max_size=3)), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_detail_is_kept_and_holds(database, lines):
    for who, detail in lines:
        add(database, 1, who=who, detail=detail)
    assert check(database).ok


def test_a_wrong_anchor_is_refused():
    assert parse_anchor("3:sha256:" + "a" * 64) == (3, "sha256:" + "a" * 64)
    for bad in ("3", "0:sha256:" + "a" * 64, "x:y", "3:sha256:" + "a" * 63):
        with pytest.raises(Invalid, match="not an anchor"):
            parse_anchor(bad)
