"""Every way by which something else comes to answer takes a policy, asks it in time, and leaves a line in the audit."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import tidemill
from store.project import HANDBOOK, apply
from tidemill.core.errors import Denied
from tidemill.store import aliases, endpoints, rollouts
from tidemill.store.audit import append, list_entries
from tidemill.store.database import KeptRefusal
from tidemill.store.release import make_release
from tidemill.testing import LetAll

SOURCE = Path(tidemill.__file__).parent
DOORS = [
    aliases.set_alias,
    aliases.remove_alias,
    endpoints.deploy,
    endpoints.rollback,
    rollouts.start_rollout,
    rollouts.promote_rollout,
]


class LetNothing:
    def check(self, db, project, *, door, target, release, who, role=None):
        raise Denied(f"not by {door}")


@pytest.mark.parametrize("function", DOORS, ids=lambda each: each.__name__)
def test_a_door_cannot_be_taken_without_a_policy(function):
    parameter = inspect.signature(function).parameters["policies"]
    assert (parameter.kind, parameter.default) == (parameter.KEYWORD_ONLY, parameter.empty)


@pytest.mark.parametrize(
    ("written", "where"),
    [
        (r"(?:upsert\(db, |update\(|insert\()endpoints\b", {"store/endpoints.py"}),
        (r"\bserve_promoted\(", {"store/endpoints.py", "store/rollouts.py"}),
        (r"\binsert_rollout\(", {"store/rollout_rows.py", "store/rollouts.py"}),
        (r"(?:upsert\(db, |update\(|insert\(|delete\()aliases\b", {"store/aliases.py"}),
    ],
)
def test_what_answers_is_changed_nowhere_else(written, where):
    found = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if re.search(written, path.read_text("utf-8"))}
    assert found == where


def test_each_door_asks_with_its_name_its_target_and_the_digest_that_would_answer(database, blobs):
    apply(database, blobs, HANDBOOK)
    made = database.write_sync(lambda db: make_release(db, "p", "chain/handbook", now_ns=1))
    policies = LetAll()
    asked = {"policies": policies, "by": "person/ann", "now_ns": 1}
    database.write_sync(lambda db: endpoints.deploy(db, "p", "e", release=made.digest, root="chain/handbook@v1", **asked))
    database.write_sync(lambda db: aliases.set_alias(db, "p", "chain/handbook", "live", **asked))
    database.write_sync(lambda db: aliases.set_alias(db, "p", "chain/handbook", "live", **asked))  # it is there already
    database.write_sync(lambda db: aliases.set_alias(db, "p", "release/handbook@v1", "live", **asked))
    assert policies.asked == [
        ("deploy", "endpoint/e", made.digest, "person/ann"),
        ("alias", "chain/handbook@live", made.digest, "person/ann"),
        ("alias", "release/handbook@live", made.digest, "person/ann"),
    ]


def test_what_is_denied_changes_nothing_and_leaves_no_line(database, blobs):
    apply(database, blobs, HANDBOOK)
    made = database.write_sync(lambda db: make_release(db, "p", "chain/handbook", now_ns=1))
    asked = {"policies": LetNothing(), "by": "person/ann", "now_ns": 1}
    with pytest.raises(Denied, match="not by deploy"):
        database.write_sync(lambda db: endpoints.deploy(db, "p", "e", release=made.digest, root="x", **asked))
    with pytest.raises(Denied, match="not by alias"):
        database.write_sync(lambda db: aliases.set_alias(db, "p", "chain/handbook", "live", **asked))
    assert database.read_sync(lambda db: endpoints.list_endpoints(db, "p")) == ()
    assert [each.alias for each in database.read_sync(lambda db: aliases.list_aliases(db, "p", "chain/handbook"))] == ["latest"]
    actions = [each.action for each in database.read_sync(lambda db: list_entries(db, "p")).items]
    assert actions == ["apply"]


def test_a_refusal_is_kept_and_what_it_ended_is_not(database):
    def line(db, action):
        return append(db, "p", who="x", action=action, target="t", detail={}, now_ns=1)

    def work(db):
        line(db, "undone")
        raise KeptRefusal("no", keep=lambda db: line(db, "kept"))

    with pytest.raises(KeptRefusal, match="no"):
        database.write_sync(work)
    assert [each.action for each in database.read_sync(lambda db: list_entries(db, "p")).items] == ["kept"]
