"""Erased rows leave every place that holds them; what is left is read, evaluated and verified as before."""

from __future__ import annotations

import json

import pytest

from tidemill.core.digests import digest_bytes
from tidemill.core.errors import NotFound, Unavailable
from tidemill.core.records import Score
from tidemill.data.dataset import load_samples
from tidemill.store.audit import list_entries
from tidemill.store.blobs import Blobs
from tidemill.store.cache import CachedScore, CachedStep, get_scores, get_steps, put_scores, put_steps
from tidemill.store.delete import delete_versions
from tidemill.store.erase import erase_rows, finish_erasures, rows_of_samples
from tidemill.store.evaluations import EvaluationRow, SampleRow, create_evaluation, get_samples, put_samples
from tidemill.store.registry import add_version

ANA = {"id": "ana", "q": "what does ana from Lyon owe us"}
BEN = {"id": "ben", "q": "what does ben from Turin owe us"}
CAI = {"id": "cai", "q": "what does cai from Porto owe us"}


def line_of(row):
    return json.dumps(row, sort_keys=True, separators=(",", ":")).encode()


@pytest.fixture
def dataset(database, blobs):
    def dataset(*rows, name="questions", has_ids=True):
        roles = {"input": "q", **({"id": "id"} if has_ids else {})}
        spec = {"columns": {"q": "text"}, "roles": roles, "rows_count": len(rows)}
        content = b"".join(line_of(row) + b"\n" for row in rows)
        kept = {"rows": blobs.put(content)}
        version, _ = database.write_sync(
            lambda db: add_version(
                db, project="p", kind="dataset", name=name, parsed_spec=spec, refs={}, blobs=kept, now_ns=1, by="ann"
            )
        )
        return version

    return dataset


@pytest.fixture
def erase(database, blobs):
    def erase(*samples, ref="dataset/questions"):
        rows = rows_of_samples(database.read_sync, blobs, "p", ref, samples)
        return erase_rows(database, blobs, "p", rows, by="ann", why="asked", now_ns=5, target=ref)

    return erase


def ids(version, blobs):
    return [each.id for each in load_samples(version, blobs)]


def everything_in(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_row_leaves_every_version_and_every_other_dataset(dataset, erase, blobs, database, tmp_path):
    first, second = dataset(ANA, BEN), dataset(ANA, BEN, CAI)
    third = dataset(CAI, name="gone")
    other, apart = dataset(BEN, ANA, name="other", has_ids=False), dataset(CAI, name="apart")
    database.write_sync(lambda db: delete_versions(db, "p", "dataset/gone", by="ann", now_ns=1, may=lambda *_: None))
    done = erase("ana", "cai")
    assert done.rows == {digest_bytes(line_of(ANA)), digest_bytes(line_of(CAI))}
    assert set(done.versions) == {each.ref for each in (first, second, third, other, apart)}
    assert (ids(first, blobs), ids(second, blobs), ids(third, blobs)) == (["ben"], ["ben"], [])
    assert ids(other, blobs) == ["1"]  # a row without an id keeps its number
    assert b"Lyon" not in everything_in(tmp_path / "blobs")
    assert b"Porto" not in everything_in(tmp_path / "blobs")
    assert blobs.state(first.blobs["rows"]) == ("erased", "1 row was erased")
    assert blobs.state(second.blobs["rows"]) == ("erased", "2 rows were erased")
    (told,) = database.read_sync(lambda db: list_entries(db, "p", action="erase")).items
    assert (told.who, told.target, told.detail["why"]) == ("ann", "dataset/questions", "asked")
    assert "Lyon" not in json.dumps(told.detail)


def test_erased_content_is_not_taken_in_again(dataset, erase, blobs):
    version = dataset(ANA, BEN)
    erase("ana")
    content = line_of(ANA) + b"\n" + line_of(BEN) + b"\n"
    assert blobs.has(version.blobs["rows"])
    assert blobs.put(content) == version.blobs["rows"]
    assert dataset(ANA, BEN) == version
    assert ids(version, blobs) == ["ben"]


def test_rows_are_erased_one_after_another(dataset, erase, blobs):
    version = dataset(ANA, BEN, CAI)
    erase("ana")
    erase("cai")
    assert ids(version, blobs) == ["ben"]
    assert blobs.state(version.blobs["rows"]) == ("erased", "2 rows were erased")
    with pytest.raises(NotFound, match="dataset/questions has no sample 'ana'"):
        erase("ana")


def test_a_row_without_an_id_is_named_by_its_number_in_one_version(dataset, erase, blobs):
    first = dataset(ANA, BEN, has_ids=False)
    second = dataset(CAI, ANA, has_ids=False)
    erase("1", ref="dataset/questions@v1")
    assert (ids(first, blobs), ids(second, blobs)) == (["2"], ["1"])


def test_what_evaluations_and_caches_kept_of_it_goes_too(dataset, erase, database):
    version = dataset(ANA, BEN)
    row = EvaluationRow(id="e1", project="p", release="r", root="chain/x@v1", dataset=version.ref, status="done")
    answers = {"ana": "ana owes 300 euros", "ben": "ben owes nothing at all"}
    samples = [
        SampleRow(
            sample=each["id"], replicate=0,
            data={"sample": each["id"], "digest": digest_bytes(line_of(each)),
                  "input": each["q"], "output": answers[each["id"]], "error": None,
                  "scores": {"m": 1.0}, "reasons": {"m": "because"}, "metadata": {"city": "Lyon"}},
        )
        for each in (ANA, BEN)
    ]  # fmt: skip
    step = CachedStep(output={"text": f"Well, {answers['ana']}."}, created_ns=1)
    kept = {"1": step, "2": CachedStep(output={"text": answers["ben"]}, created_ns=1)}
    reason = CachedScore(score=Score(metric="m", value=1.0, reason=f"it says {answers['ana']}"), created_ns=1)

    def work(db):
        create_evaluation(db, row)
        put_samples(db, "e1", samples)
        put_steps(db, "p", kept)
        put_scores(db, "p", {"1": reason})

    database.write_sync(work)
    done = erase("ana")
    assert (done.evaluation_samples, done.steps, done.scores) == (1, 1, 1)
    erased, left = database.read_sync(lambda db: get_samples(db, "e1"))
    assert (erased.data["erased"], erased.data["scores"], erased.data["input"]) == (True, {"m": 1.0}, None)
    assert "Lyon" not in json.dumps(erased.data)
    assert left.data["output"] == answers["ben"]
    assert list(database.read_sync(lambda db: get_steps(db, "p", ["1", "2"]))) == ["2"]
    assert database.read_sync(lambda db: get_scores(db, "p", ["1"])) == {}


def test_a_kill_between_the_record_and_the_blob_is_made_good(dataset, database, blobs, monkeypatch):
    version = dataset(ANA, BEN)
    rows = {digest_bytes(line_of(ANA))}

    def killed(*_args, **_more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Blobs, "erase", killed)
        with pytest.raises(KeyboardInterrupt):
            erase_rows(database, blobs, "p", rows, by="ann", why="asked", now_ns=5, target="dataset/questions")
    assert ids(version, blobs) == ["ana", "ben"]
    assert finish_erasures(database, lambda _project: blobs) == 1
    assert ids(version, blobs) == ["ben"]
    assert finish_erasures(database, lambda _project: blobs) == 0


def test_what_is_left_is_checked_too(dataset, erase, blobs):
    version = dataset(ANA, BEN)
    erase("ana")
    path = blobs.path(version.blobs["rows"])
    place = path.with_name(f"{path.name}.erased")
    place.write_bytes(place.read_bytes().replace(b"Turin", b"Milan"))
    with pytest.raises(Unavailable, match="damaged on the disk"):
        ids(version, blobs)
    assert blobs.state(version.blobs["rows"])[0] == "damaged"
