from __future__ import annotations

import threading

import pytest

from tidemill.core.errors import Conflict, Denied, Invalid, NotFound
from tidemill.store import audit, endpoints, rollouts
from tidemill.testing.policies import LetAll

OLD, NEW, THIRD = (f"sha256:{each * 64}" for each in "abc")


def canary(release=NEW, share=10.0):
    return rollouts.Canary(release=release, root="chain/x@v2", shares=[share], key="00" * 16)


class Refuse:
    """Lets nothing through the doors that it is given."""

    def __init__(self, *doors):
        self.doors = doors

    def check(self, db, project, *, door, target, release, who, role=None):
        if door in self.doors:
            raise Denied(f"{release[:9]} may not go to {target} by {door}")


class Desk:
    """One endpoint and what is done to it, at the next moment each time."""

    def __init__(self, database):
        self.database = database
        self.now_ns = 0

    def __call__(self, function, *arguments, policies=None, **more):
        self.now_ns += 1
        more |= {"by": "ann", "now_ns": self.now_ns}
        if function is not rollouts.abort_rollout:
            more["policies"] = policies or LetAll()
        return self.database.write_sync(lambda db: function(db, "p", *arguments, **more))

    def deploy(self, release, **more):
        return self(endpoints.deploy, "live", release=release, root="chain/x@v1", **more)

    def start(self, release=NEW, share=10.0, **more):
        return self(rollouts.start_rollout, "live", rollout_id=f"r{self.now_ns}", canary=canary(release, share), **more)

    def endpoint(self):
        return self.database.read_sync(lambda db: endpoints.get_endpoint(db, "p", "live"))


@pytest.fixture
def desk(database):
    desk = Desk(database)
    desk.deploy(OLD)
    return desk


def actions(desk):
    return [each.action for each in reversed(desk.endpoint().history)]


def test_a_promoted_canary_is_served_and_a_rollback_brings_the_stable_release_back(desk):
    started = desk.start()
    assert (desk.endpoint().release, desk.endpoint().rollout) == (OLD, started)
    ended = desk(rollouts.promote_rollout, "endpoint/live", why="better")
    assert (ended.status, ended.share, ended.ended_by, ended.why) == ("promoted", 100.0, "ann", "better")
    now = desk.endpoint()
    assert (now.release, now.root, now.previous, now.rollout) == (NEW, "chain/x@v2", OLD, None)
    assert desk(endpoints.rollback, "live").release == OLD
    assert actions(desk) == ["deploy", "canary", "promote", "rollback"]


def test_an_aborted_canary_leaves_what_was_there(desk):
    desk.start()
    ended = desk(rollouts.abort_rollout, "live", why="slow")
    assert (ended.status, ended.share, ended.why) == ("aborted", 0.0, "slow")
    now = desk.endpoint()
    assert (now.release, now.previous, now.rollout) == (OLD, None, None)
    assert actions(desk) == ["deploy", "canary", "abort"]
    desk.start(share=50)  # and may be tried again
    assert desk.endpoint().rollout.share == 50


def test_a_rollback_undoes_the_rollout_first(desk):
    desk.deploy(THIRD)
    desk.start()
    now = desk(endpoints.rollback, "live")
    assert (now.release, now.rollout, actions(desk)[-1]) == (THIRD, None, "abort")
    assert desk(endpoints.rollback, "live").release == OLD


def test_a_deploy_waits_for_the_end_of_the_rollout(desk):
    desk.start()
    with pytest.raises(Conflict, match="a rollout of sha256:bbbb") as caught:
        desk.deploy(THIRD)
    assert "tidemill rollout promote|abort endpoint/live" in caught.value.hint
    assert desk.deploy(OLD).release == OLD  # changes nothing, so nothing is in its way
    assert desk.endpoint().release == OLD


@pytest.mark.parametrize("share", [-0.1, 100.1, float("nan"), float("inf"), -float("inf")])
def test_a_share_outside_0_to_100_is_refused(desk, share):
    with pytest.raises(Invalid, match="is not one"):
        desk.start(share=share)
    assert desk.endpoint().rollout is None


def test_what_cannot_be_begun_or_ended_is_refused(desk):
    with pytest.raises(NotFound, match="no endpoint/nowhere"):
        desk(rollouts.start_rollout, "nowhere", rollout_id="r", canary=canary())
    with pytest.raises(Conflict, match="serves sha256:aaaa"):
        desk.start(OLD)
    with pytest.raises(NotFound, match="no rollout at 'live'"):
        desk(rollouts.promote_rollout, "live")
    started = desk.start()
    with pytest.raises(Conflict, match="a rollout runs at endpoint/live already"):
        desk.start(THIRD)
    desk(rollouts.abort_rollout, started.id)
    for function in (rollouts.promote_rollout, rollouts.abort_rollout):
        with pytest.raises(Conflict, match="was aborted already"):
            desk(function, started.id)


def test_of_two_starts_at_once_one_is_told(desk, database):
    outcomes = []
    gate = threading.Barrier(8)

    def start(number):
        gate.wait(10)
        try:
            database.write_sync(
                lambda db: rollouts.start_rollout(
                    db, "p", "live", rollout_id=f"r{number}", canary=canary(), policies=LetAll(), by="ann", now_ns=number,
                )
            )  # fmt: skip
            outcomes.append("started")
        except Conflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert sorted(outcomes) == ["conflict"] * 7 + ["started"]


def test_a_policy_stands_at_both_doors_and_not_before_an_abort(desk):
    with pytest.raises(Denied, match="by rollout"):
        desk.start(policies=Refuse("rollout"))
    assert desk.endpoint().rollout is None
    started = desk.start()
    with pytest.raises(Denied, match="by promote"):
        desk(rollouts.promote_rollout, started.id, policies=Refuse("promote"))
    assert (desk.endpoint().release, desk.endpoint().rollout) == (OLD, started)
    assert desk(rollouts.abort_rollout, started.id).status == "aborted"


def test_every_change_is_in_the_audit(desk, database):
    desk.start(share=25)
    desk(rollouts.abort_rollout, "live", why="slow")
    desk.start(share=50)
    desk(rollouts.promote_rollout, "live")
    found = database.read_sync(lambda db: audit.list_entries(db, "p")).items
    lines = [(each.action, each.detail.get("share"), each.detail.get("why")) for each in found]
    assert sorted(lines, key=str) == sorted(
        [
            ("deploy", None, None), ("rollout.started", "25 %", None), ("rollout.aborted", None, "slow"),
            ("rollout.started", "50 %", None), ("rollout.promoted", None, None),
        ],
        key=str,
    )  # fmt: skip


def test_lists_are_paged_and_narrowed(desk, database):
    for _ in range(3):
        desk.start()
        desk(rollouts.abort_rollout, "live")
    running = desk.start()
    first = database.read_sync(lambda db: rollouts.list_rollouts(db, "p", limit=3))
    rest = database.read_sync(lambda db: rollouts.list_rollouts(db, "p", limit=3, cursor=first.next))
    assert (len(first.items), len(rest.items), rest.next) == (3, 1, None)
    assert database.read_sync(lambda db: rollouts.list_rollouts(db, "p", status="running")).items == (running,)
    assert not database.read_sync(lambda db: rollouts.list_rollouts(db, "p", endpoint="other")).items
