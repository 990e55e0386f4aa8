"""Caches, jobs, evaluations, builds, vectors and connections come back as they were put."""

from __future__ import annotations

import functools

import pytest

from tidemill.core.chat import Secret, Usage
from tidemill.core.errors import Conflict, NotFound
from tidemill.core.records import Job, Progress, Score
from tidemill.store import cache, embeddings, evaluations, index_builds, jobs
from tidemill.store.config import connection_for, get_config, put_config


def test_steps_and_scores(database):
    step = cache.CachedStep(
        output={"text": "hé", "n": [1, None]},
        usage=Usage(input_tokens=3, output_tokens=4),
        cost=0.5,
        latency_ms=1.5,
        created_ns=9,
    )
    nothing = cache.CachedStep(output=None, created_ns=1)
    score = cache.CachedScore(score=Score(metric="m", value=None, error="no answer", reason="r"), created_ns=9)
    database.write_sync(lambda db: cache.put_steps(db, "p", {"a": step, "b": nothing}))
    database.write_sync(lambda db: cache.put_scores(db, "p", {"a": score}))
    assert database.read_sync(lambda db: cache.get_steps(db, "p", ["a", "b", "c"])) == {"a": step, "b": nothing}
    assert database.read_sync(lambda db: cache.get_scores(db, "p", ["a", "c"])) == {"a": score}
    assert database.read_sync(lambda db: cache.get_steps(db, "q", ["a"])) == {}
    database.write_sync(lambda db: cache.put_steps(db, "p", {"a": nothing}))
    assert database.read_sync(lambda db: cache.get_steps(db, "p", ["a"])) == {"a": nothing}


def test_ten_thousand_steps_are_looked_up_in_bulk(database):
    entries = {f"{n:064x}": cache.CachedStep(output={"text": "x" * 200}, created_ns=n) for n in range(10_000)}
    database.write_sync(lambda db: cache.put_steps(db, "p", entries))
    found = database.read_sync(lambda db: cache.get_steps(db, "p", list(entries)))
    assert found == entries


def test_a_changed_fingerprint_starts_an_epoch(database):
    def note(fingerprint):
        return database.write_sync(lambda db: cache.note_fingerprint(db, "p", "m", fingerprint))

    assert [note(each) for each in ("x", "x", "y", "y", "x")] == [0, 0, 1, 1, 2]
    assert database.read_sync(lambda db: cache.epoch(db, "p", "m")) == 2
    assert database.read_sync(lambda db: cache.epoch(db, "p", "other")) == 0


def test_a_job_ends_once(database):
    write = database.write_sync
    job = Job(id="1", project="p", kind="eval", status="queued", payload={"a": 1}, created_ns=1, updated_ns=1)
    assert write(lambda db: jobs.create_job(db, job)) == (job, True)
    assert write(lambda db: jobs.create_job(db, job)) == (job, False)
    progress = Progress(done=3, total=10, unit="samples")
    running = write(lambda db: jobs.update_job(db, "1", now_ns=2, status="running", progress=progress))
    assert (running.status, running.progress, running.updated_ns) == ("running", progress, 2)
    assert database.read_sync(jobs.unfinished_jobs) == (running,)
    write(lambda db: jobs.request_cancel(db, "p", "1", now_ns=3))
    assert database.read_sync(lambda db: jobs.is_cancel_requested(db, "1"))
    done = write(lambda db: jobs.update_job(db, "1", now_ns=4, status="done", result={"n": 1}))
    assert (done.status, done.result, done.progress) == ("done", {"n": 1}, progress)
    assert write(lambda db: jobs.update_job(db, "1", now_ns=5, status="failed", error="late")) == done
    assert write(lambda db: jobs.request_cancel(db, "p", "1", now_ns=6)) == done
    with pytest.raises(NotFound):
        database.read_sync(lambda db: jobs.get_job(db, "q", "1"))


def test_a_queued_job_is_cancelled_at_once_and_lists_are_newest_first(database):
    for number in range(3):
        job = Job(id=f"{number}", project="p", kind="index", status="queued", payload={}, created_ns=number)
        database.write_sync(functools.partial(jobs.create_job, job=job))
    assert database.write_sync(lambda db: jobs.request_cancel(db, "p", "1", now_ns=3)).status == "cancelled"
    page = database.read_sync(lambda db: jobs.list_jobs(db, "p", limit=2))
    assert ([each.id for each in page.items], page.next) == (["2", "1"], "1")
    queued = database.read_sync(lambda db: jobs.list_jobs(db, "p", status="queued"))
    assert [each.id for each in queued.items] == ["2", "0"]


def test_an_evaluation_its_samples_and_decisions(database):
    row = evaluations.EvaluationRow(
        id="0190-aaaa-bbbb", project="p", release="sha256:1", root="chain/x", dataset="dataset/d@v1", config={"n": 1}
    )
    database.write_sync(lambda db: evaluations.create_evaluation(db, row))
    samples = [evaluations.SampleRow(sample=f"q{n}", replicate=0, data={"n": n}) for n in range(3)]
    database.write_sync(lambda db: evaluations.put_samples(db, row.id, samples))
    database.write_sync(lambda db: evaluations.put_samples(db, row.id, samples[:1]))
    assert database.read_sync(lambda db: evaluations.get_samples(db, row.id)) == samples
    done = database.write_sync(
        lambda db: evaluations.update_evaluation(db, "p", row.id, status="done", result={"samples": 3}, now_ns=5)
    )
    assert database.read_sync(lambda db: evaluations.get_evaluation(db, "p", "0190-aaa")) == done
    assert done.config == {"n": 1}
    assert database.read_sync(lambda db: evaluations.list_evaluations(db, "p", root="chain/x")).items == (done,)
    with pytest.raises(NotFound):
        database.read_sync(lambda db: evaluations.get_evaluation(db, "q", row.id))
    decision = evaluations.Decision(
        gate="g", evaluation=row.id, against=None, result="passed", detail={"checks": []}, decided_ns=6
    )
    database.write_sync(lambda db: evaluations.put_decision(db, "p", decision))
    assert database.read_sync(lambda db: evaluations.list_decisions(db, "p", gate="g")) == (decision,)


def test_builds_and_vectors(database):
    build = index_builds.IndexBuild(index_digest="sha256:1", status="done", manifest=[{"id": "a"}], blobs={"x": "sha256:2"})
    database.write_sync(lambda db: index_builds.put_build(db, "p", build))
    assert database.read_sync(lambda db: index_builds.get_build(db, "p", "sha256:1")) == build
    assert database.read_sync(lambda db: index_builds.get_build(db, "q", "sha256:1")) is None
    vectors = {f"c{n}": bytes([n % 256]) * 8 for n in range(1200)}
    database.write_sync(lambda db: embeddings.put_vectors(db, "p", "e", vectors))
    assert database.read_sync(lambda db: embeddings.get_vectors(db, "p", "e", [*vectors, "gone"])) == vectors
    assert database.read_sync(lambda db: embeddings.get_vectors(db, "p", "other", list(vectors))) == {}


def test_the_environments_own_connection_wins(database):
    def put(name, environment, **spec):
        database.write_sync(lambda db: put_config(db, "p", "connection", name, environment, {"provider": "openai", **spec}))

    def find(name, environment):
        return database.read_sync(lambda db: connection_for(db, "p", name, environment))

    assert find("openai", "local") is None
    put("gateway", None, base_url="http://all", api_key="env:KEY", timeout=5, headers={"x": "y"})
    put("gateway", "staging", base_url="http://staging", allow_private=True)
    everywhere, staging = find("gateway", "local"), find("connection/gateway", "staging")
    assert (everywhere.base_url, everywhere.api_key, everywhere.timeout) == ("http://all", Secret(reference="env:KEY"), 5.0)
    assert (staging.base_url, staging.allow_private, staging.environment) == ("http://staging", True, "staging")
    assert find("openai", "staging") == staging
    put("second", None)
    with pytest.raises(Conflict, match="connection/gateway, connection/second"):
        find("openai", "local")
    put("openai", "local", base_url="http://mine")
    assert find("openai", "local").base_url == "http://mine"
    with pytest.raises(NotFound) as caught:
        database.read_sync(lambda db: get_config(db, "p", "connection", "gatewy"))
    assert caught.value.hint == "Did you mean connection/gateway?"
