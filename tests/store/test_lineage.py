"""The lineage graph: what writes leave in it, and what can be asked of it, on both databases."""

from __future__ import annotations

import random
from importlib import import_module

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import delete, func, select

from tidemill.core.errors import Invalid, NotFound
from tidemill.store import approvals, endpoints, evaluations, index_builds, registry, release, rollouts
from tidemill.store.database import Database
from tidemill.store.lineage import Link, Point, lineage_edges, lineage_nodes, record
from tidemill.store.lineage_impact import impact_of
from tidemill.store.lineage_notes import note_samples
from tidemill.store.lineage_path import shortest
from tidemill.store.lineage_refs import resolve
from tidemill.store.lineage_show import show
from tidemill.store.lineage_walk import walk
from tidemill.store.tables import versions
from tidemill.testing.policies import LetAll

P = "p"
TRACE = "0123456789abcdef0123456789abcdef"


def add(db, kind, name, refs=(), *, spec=None, now_ns=1, project=P):
    """A version of `kind/name` that needs these versions."""
    return registry.add_version(
        db,
        project=project,
        kind=kind,
        name=name,
        parsed_spec=spec or {"text": f"{kind} {name} {now_ns}"},
        refs={each.bare: each.digest for each in refs},
        blobs={},
        now_ns=now_ns,
        by="person/ana",
    )[0]


def make_story(db):
    """Two documents in an index, a prompt, a chain of both, its release, an evaluation, a gate, an approval, an endpoint."""
    index = add(db, "index", "handbook", spec={"source": {"folder": "docs"}})
    documents = [
        {"id": "a.pdf", "format": "pdf", "blob": "x", "chunks": 2},
        {"id": "b.rst", "format": "rst", "blob": "y", "chunks": 1},
    ]
    manifest = {"documents": documents}
    index_builds.put_build(
        db, P, index_builds.IndexBuild(index_digest=index.digest, status="ready", manifest=manifest, updated_ns=2)
    )
    prompt = add(db, "prompt", "answer", now_ns=3)
    chain = add(db, "chain", "handbook", [index, prompt], now_ns=4)
    made = release.make_release(db, P, chain.bare, now_ns=5, by="person/ana")
    dataset, gate = add(db, "dataset", "questions", now_ns=6), add(db, "gate", "good", now_ns=6)
    row = evaluations.EvaluationRow(
        id="e1", project=P, release=made.digest, root=chain.ref, dataset=dataset.ref, status="done", created_ns=7
    )
    evaluations.create_evaluation(db, row)
    decision = evaluations.Decision(
        gate="gate/good", evaluation="e1", against=None, result="passed", detail={"gate_version": gate.ref}, decided_ns=8
    )
    evaluations.put_decision(db, P, decision)
    approval = approvals.Approval(
        id="approval-1", project=P, digest=made.digest, root=chain.ref, who="person/eva", role="reviewer", reason="read it",
        created_ns=9,
    )  # fmt: skip
    approvals.add_approval(db, approval)
    endpoints.deploy(db, P, "handbook", release=made.digest, root=chain.ref, policies=LetAll(), by="person/ops", now_ns=10)
    return made


def refs(db, ids):
    return [each.ref for each in show(db, P, ids, now_ns=100).values()]


def walked(db, of, direction, **bounds):
    found = walk(db, resolve(db, P, of).ids, direction, **bounds)
    return refs(db, found.depths)[1:]


def test_every_write_leaves_its_links(database):
    database.write_sync(make_story)
    up, down = database.read_sync(lambda db: (walked(db, "endpoint/handbook", "up"), walked(db, "file/docs/a.pdf", "down")))
    assert set(up) == {
        "release/handbook@v1", "chain/handbook@v1", "index/handbook@v1", "prompt/answer@v1", "index/handbook#a.pdf",
        "index/handbook#b.rst", "file/docs/a.pdf", "file/docs/b.rst", "approval/approval-1", "decision/1", "evaluation/e1",
        "gate/good@v1", "dataset/questions@v1",
    }  # fmt: skip
    assert down[:4] == ["index/handbook#a.pdf", "index/handbook@v1", "chain/handbook@v1", "release/handbook@v1"]
    assert {"evaluation/e1", "decision/1", "approval/approval-1", "endpoint/handbook"} <= set(down)


def test_points_say_how_they_stand(database):
    made = database.write_sync(make_story)
    names = ("release/handbook", "endpoint/handbook", "approval/approval-1", "decision/1", "evaluation/e1", "prompt/answer")

    def work(db):
        ids = [resolve(db, P, each).ids[0] for each in names]
        return {each.ref: each for each in show(db, P, ids, now_ns=100).values()}

    found = database.read_sync(work)
    assert {ref: each.state for ref, each in found.items()} == {
        "release/handbook@v1": "live", "endpoint/handbook": "live", "approval/approval-1": "valid", "decision/1": "passed",
        "evaluation/e1": "done", "prompt/answer@v1": "",
    }  # fmt: skip
    assert found["release/handbook@v1"].about["live_at"] == ["endpoint/handbook"]
    assert found["release/handbook@v1"].digest == made.digest
    assert found["prompt/answer@v1"].by == "person/ana"
    assert found["endpoint/handbook"].by == "person/ops"


def test_a_rollout_stands_between_its_release_and_the_endpoint(database):
    def work(db):
        first = make_story(db)
        other = release.make_release(db, P, add(db, "chain", "other", [first.root], now_ns=20).bare, now_ns=21)
        canary = rollouts.Canary(release=other.digest, root=other.root.ref, shares=[10], key="00")
        rollouts.start_rollout(db, P, "handbook", canary=canary, rollout_id="r1", policies=LetAll(), by="ops", now_ns=22)
        return walked(db, "release/other", "down"), refs(db, resolve(db, P, f"sha256:{other.digest[7:]}").ids)

    down, named = database.write_sync(work)
    assert down == ["rollout/r1", "endpoint/handbook"]
    assert named == ["release/other@v1"]


def test_samples_name_the_requests_and_opinions_that_they_came_from(database):
    def work(db):
        made = make_story(db)
        before, after = add(db, "dataset", "fixes", now_ns=30), add(db, "dataset", "fixes", now_ns=31)
        note_samples(db, P, after, before=before, traces={TRACE: made.digest}, feedback=["f1"], now_ns=31)
        return walked(db, "dataset/fixes", "up")

    found = database.write_sync(work)
    assert {"dataset/fixes@v1", f"trace/{TRACE}", "feedback/f1", "release/handbook@v1", "index/handbook#a.pdf"} <= set(found)


def test_impact_counts_everything_that_was_made_of_it(database):
    database.write_sync(make_story)

    def work(db):
        named = resolve(db, P, "index/handbook#a.pdf")
        return impact_of(db, P, starts=named.ids, own=named.ids, limit=10, now_ns=100)

    found = database.read_sync(work)
    assert found.counts == {
        "approval": 1, "chain": 1, "decision": 1, "endpoint": 1, "evaluation": 1, "index": 1, "release": 1,
    }  # fmt: skip
    assert [each.ref for each in found.shown["endpoint"]] == ["endpoint/handbook"]
    assert not found.truncated


def test_the_shortest_way_is_as_short_as_any(database):
    """Against Floyd and Warshall on random graphs, cycles among them."""
    rnd = random.Random(5)
    points = [Point(kind="external", key=f"n{number}") for number in range(24)]
    links = [Link(source=a, target=b, relation="read") for a in points for b in points if a != b and rnd.random() < 0.07]
    database.write_sync(lambda db: record(db, P, points=points, links=links, now_ns=1))
    ids = database.read_sync(lambda db: {row.key: row.id for row in db.execute(select(lineage_nodes))})
    far = {
        (a, b): 0 if a == b else 1 if any((k.source.key, k.target.key) == (a, b) for k in links) else 99
        for a in ids
        for b in ids
    }
    for k in ids:
        for a in ids:
            for b in ids:
                far[a, b] = min(far[a, b], far[a, k] + far[k, b])

    def work(db):
        return {(a, b): shortest(db, [ids[a]], [ids[b]]) for a in list(ids)[:8] for b in ids}

    for (a, b), found in database.read_sync(work).items():
        length = len(found.edges) if found.answer == "found" else 99
        assert length == min(far[a, b], 99), (a, b)
        if found.answer == "found":
            assert (found.points[0], found.points[-1]) == (ids[a], ids[b])
            assert [e.target for e in found.edges] == list(found.points[1:])


def test_a_search_that_is_too_large_says_that_it_does_not_know(database):
    hub, leaves = Point(kind="external", key="hub"), [Point(kind="external", key=f"leaf{n}") for n in range(50)]
    ends = [Point(kind="external", key="end"), *(Point(kind="external", key=f"root{n}") for n in range(50))]
    links = [Link(source=hub, target=each, relation="read") for each in leaves]
    links += [Link(source=each, target=ends[0], relation="read") for each in ends[1:]]
    database.write_sync(lambda db: record(db, P, points=[hub, *leaves, *ends], links=links, now_ns=1))

    def work(db):
        a, b = (resolve(db, P, f"external/{each}").ids for each in ("hub", "end"))
        return shortest(db, a, b, most=20).answer, shortest(db, a, b).answer

    assert database.read_sync(work) == ("undecided", "none")


def test_pages_are_whole_and_do_not_move_while_links_are_added(database):
    hub = Point(kind="external", key="hub")
    leaves = [Point(kind="external", key=f"leaf{n:03d}") for n in range(100)]
    fed = [Link(source=hub, target=each, relation="read") for each in leaves]
    database.write_sync(lambda db: record(db, P, points=[hub, *leaves], links=fed, now_ns=1))
    start = database.read_sync(lambda db: resolve(db, P, "external/hub").ids)
    met: list[int] = []
    cursor = None
    for number in range(20):
        found = database.read_sync(lambda db, cursor=cursor: walk(db, start, "down", limit=15, cursor=cursor))
        met += [each for each in found.depths if each not in start]
        more = Point(kind="external", key=f"later{number}")
        link = Link(source=hub, target=more, relation="read")
        database.write_sync(lambda db, more=more, link=link: record(db, P, points=[more], links=[link], now_ns=2))
        cursor = found.next
        assert found.truncated == (cursor is not None)
        if cursor is None:
            break
    assert len(met) == len(set(met)) == 100
    assert database.read_sync(lambda db: refs(db, met)) == [f"external/leaf{n:03d}" for n in range(100)]


@pytest.mark.parametrize("cursor", ["", "x", "1.2", "1.2.3.4", "-1.0.5", "9" * 30 + ".1.1"])
def test_a_foreign_cursor_is_refused(database, cursor):
    with pytest.raises(Invalid) as error:
        database.read_sync(lambda db: walk(db, [1], "down", cursor=cursor or "?"))
    assert "not one of this list" in str(error.value)


def test_a_cycle_ends(database):
    ring = [Point(kind="external", key=f"r{n}") for n in range(5)]
    links = [Link(source=a, target=b, relation="read") for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)]
    links.append(Link(source=ring[0], target=ring[0], relation="read"))
    database.write_sync(lambda db: record(db, P, points=ring, links=links, now_ns=1))
    for direction in ("up", "down"):
        found = database.read_sync(lambda db, way=direction: walk(db, resolve(db, P, "external/r0").ids, way))
        assert len(found.depths) == 5
        assert not found.truncated


def test_what_is_written_twice_is_there_once(database):
    database.write_sync(make_story)

    def count(db):
        return [db.execute(select(func.count()).select_from(each)).scalar() for each in (lineage_nodes, lineage_edges)]

    before = database.read_sync(count)

    def again(db):
        release.make_release(db, P, "chain/handbook", now_ns=50)
        index = registry.get_version(db, P, "index/handbook")
        pointer = index_builds.IndexBuild(index_digest=index.bare, status="pointer", manifest={"digest": index.digest})
        index_builds.put_build(db, P, pointer)

    database.write_sync(again)
    assert database.read_sync(count) == before


def test_another_project_is_not_revealed(database):
    def work(db):
        make_story(db)
        add(db, "prompt", "secret", project="other")
        record(db, "other", points=[Point(kind="file", key="plans.txt")], now_ns=1)

    database.write_sync(work)
    for ref in ("prompt/secret", "file/plans.txt", "prompt/nothing", "file/nothing.txt"):
        with pytest.raises(NotFound) as error:
            database.read_sync(lambda db, ref=ref: resolve(db, P, ref))
        assert "secret" not in error.value.hint
        assert "plans" not in error.value.hint


@pytest.mark.parametrize(
    ("written", "error", "hint"),
    [
        ("prompt/anser", NotFound, "Did you mean prompt/answer?"),
        ("prompt/answer@v9", NotFound, "Versions go from v1 to v1."),
        ("index/handbok#a.pdf", NotFound, "Did you mean index/handbook?"),
        ("index/handbook#a.pd", NotFound, "Did you mean index/handbook#a.pdf?"),
        ("document/handbook:a.pdg", NotFound, "Did you mean index/handbook#a.pdf?"),
        ("file/docs/a.pdff", NotFound, "Did you mean docs/a.pdf?"),
        ("endpoint/handbok", NotFound, "Did you mean handbook?"),
        ("decision/x", NotFound, "Ask for what the evaluation led to."),
        ("sha256:" + "0" * 64, NotFound, "List releases: tidemill get release"),
        ("index/handbook@v1#a.pdf", Invalid, "Write index/handbook#a.pdf."),
        ("connection/openai", Invalid, "Write prompt/answer@v3"),
        ("answer", Invalid, "Write prompt/answer@v3"),
        ("", Invalid, "Write prompt/answer@v3"),
        ("x" * 5000, Invalid, "Write prompt/answer@v3"),
    ],
)
def test_what_is_unknown_is_said_with_the_nearest(database, written, error, hint):
    database.write_sync(make_story)
    with pytest.raises(error) as raised:
        database.read_sync(lambda db: resolve(db, P, written))
    assert raised.value.hint.startswith(hint)


def test_every_way_to_write_a_document_is_the_same(database):
    database.write_sync(make_story)
    ways = ("index/handbook#a.pdf", "document/handbook#a.pdf", "document/handbook:a.pdf")
    found = database.read_sync(lambda db: {resolve(db, P, each).point.ref for each in ways})
    assert found == {"index/handbook#a.pdf"}
    chunk = database.read_sync(lambda db: resolve(db, P, "index/handbook#a.pdf#2"))
    assert (chunk.point.ref, chunk.chunk) == ("index/handbook#a.pdf", 2)


def test_a_version_that_is_gone_stays_in_the_graph_as_erased(database):
    def work(db):
        make_story(db)
        db.execute(delete(versions).where(versions.c.kind == "prompt"))
        ids = resolve(db, P, "prompt/answer@v1").ids
        return next(iter(show(db, P, ids, now_ns=1).values())), walked(db, "prompt/answer@v1", "down")

    shown, down = database.write_sync(work)
    assert (shown.ref, shown.state) == ("prompt/answer@v1", "erased")
    assert down[0] == "chain/handbook@v1"


def test_the_migration_finds_what_happened_before_there_was_a_graph(place):
    """The links that writes leave and those that the migration finds of the same rows are the same."""
    database = Database.open(place)
    database.write_sync(make_story)

    def links(db):
        names = {row.id: (row.kind, row.key, row.label) for row in db.execute(select(lineage_nodes))}
        return {(names[row.source], row.relation, names[row.target]) for row in db.execute(select(lineage_edges))}

    written = database.read_sync(links)
    with database.engine.begin() as connection:
        for each in ("lineage_nodes", "lineage_edges", "lineage_events"):
            connection.exec_driver_sql(f"DROP TABLE {each}")
        run_migration(connection)
    found = database.read_sync(links)
    database.write_sync(lambda db: add(db, "prompt", "later", now_ns=60))
    assert database.read_sync(lambda db: resolve(db, P, "prompt/later").ids)
    database.close()
    allowed = {each for each in written if each[1] == "allowed"}  # what stood for a move then cannot be told later
    assert written - found == allowed
    assert found <= written


def run_migration(connection):
    module = import_module("tidemill.store.migrations.versions.0008_lineage")
    with Operations.context(MigrationContext.configure(connection)):
        module.upgrade()
