from __future__ import annotations

import hashlib
import json
from functools import partial

import pytest

from store.project import HANDBOOK, apply
from tidemill.core.digests import canonical
from tidemill.core.errors import Conflict, Invalid, NotFound
from tidemill.store import signing
from tidemill.store.aliases import set_alias
from tidemill.store.audit import list_entries
from tidemill.store.endpoints import deploy, get_endpoint, list_endpoints, rollback
from tidemill.store.projects import SYSTEM
from tidemill.store.release import get_release, load_bundle, make_release
from tidemill.testing.policies import LetAll

OTHER = HANDBOOK.replace("context only", "context")


@pytest.fixture
def release(database):
    return lambda root="chain/handbook": database.write_sync(lambda db: make_release(db, "p", root, now_ns=1, by="ann"))


def test_a_lock_names_everything_and_its_digest_can_be_computed_by_anybody(database, blobs, release):
    applied = apply(database, blobs, HANDBOOK)
    made = release()
    lock = made.lock
    assert set(lock) == {"schema", "root", "artifacts", "engine", "hermetic", "digest"}
    assert lock["root"] == "chain/handbook"
    assert {ref: each["digest"] for ref, each in lock["artifacts"].items()} == {
        each.bare: each.digest for each in applied.versions
    }
    spec = {key: lock[key] for key in ("root", "artifacts", "hermetic")}
    body = {"schema": "tidemill/1", "kind": "release", "spec": spec, "refs": {}, "blobs": {}}
    assert made.digest == lock["digest"] == f"sha256:{hashlib.sha256(canonical(body)).hexdigest()}"
    assert json.loads(canonical(lock)) == lock


def test_the_same_content_is_the_same_release(database, blobs, release):
    apply(database, blobs, HANDBOOK)
    first = release()
    assert release().version == first.version
    apply(database, blobs, OTHER)
    second = release()
    assert second.digest != first.digest
    apply(database, blobs, HANDBOOK)
    assert release().digest == first.digest


def test_a_bundle_has_the_releases_content_whatever_happens_later(database, blobs, release):
    apply(database, blobs, HANDBOOK)
    made = release()
    apply(database, blobs, OTHER)
    bundle = database.read_sync(lambda db: load_bundle(db, "p", made.digest))
    assert bundle.release == made.digest
    assert bundle.root.ref == "chain/handbook@v1"
    assert bundle.resolve(bundle.root, "prompt/answer").spec["text"] == "Answer from the context only."
    now = database.read_sync(lambda db: load_bundle(db, "p", "chain/handbook"))
    assert now.resolve(now.root, "prompt/answer").spec["text"] == "Answer from the context."
    assert now.release == release().digest
    assert database.read_sync(lambda db: load_bundle(db, "p", "chain/handbook@v1")).release == made.digest


def test_a_release_has_aliases(database, blobs, release):
    apply(database, blobs, HANDBOOK)
    made = release()
    database.write_sync(lambda db: set_alias(db, "p", "release/handbook", "production", policies=LetAll(), now_ns=1))
    assert database.read_sync(lambda db: load_bundle(db, "p", "release/handbook@production")).release == made.digest
    assert database.read_sync(lambda db: get_release(db, "p", made.digest)).lock == made.lock


def test_two_versions_of_one_artifact_are_both_locked(database, blobs, release):
    apply(database, blobs, HANDBOOK)
    apply(database, blobs, OTHER)
    both = "kind: chain\nname: both\nuses: [prompt/answer@v1, prompt/answer@v2]\n"
    apply(database, blobs, both)
    made = release("chain/both")
    assert sorted(each.partition("@")[0] for each in made.lock["artifacts"]) == ["chain/both", "prompt/answer", "prompt/answer"]
    bundle = database.read_sync(lambda db: load_bundle(db, "p", made.digest))
    texts = [bundle.resolve(bundle.root, f"prompt/answer@v{number}").spec["text"] for number in (1, 2)]
    assert texts == ["Answer from the context only.", "Answer from the context."]


def test_what_cannot_run_or_is_not_there_is_said(database, blobs):
    apply(database, blobs, "kind: dataset\nname: d\n")
    with pytest.raises(Invalid, match="dataset/d cannot be run"):
        database.read_sync(lambda db: load_bundle(db, "p", "dataset/d"))
    with pytest.raises(NotFound, match="there is no release"):
        database.read_sync(lambda db: load_bundle(db, "p", "sha256:" + "0" * 64))


def test_deploy_and_rollback(database, blobs, release):
    apply(database, blobs, HANDBOOK)
    a = release().digest
    apply(database, blobs, OTHER)
    b = release().digest

    def put(digest):
        return database.write_sync(
            lambda db: deploy(
                db, "p", "endpoint/handbook", release=digest, root="chain/handbook", policies=LetAll(), by="ann", now_ns=5
            )
        )

    def back():
        return database.write_sync(lambda db: rollback(db, "p", "handbook", policies=LetAll(), by="bob", now_ns=6))

    assert (put(a).release, put(a).previous) == (a, None)
    assert (put(b).release, put(b).previous) == (b, a)
    restored = back()
    assert (restored.release, restored.previous) == (a, None)
    assert [(each.action, each.release, each.by) for each in restored.history] == [
        ("rollback", a, "bob"),
        ("deploy", b, "ann"),
        ("deploy", a, "ann"),
    ]
    with pytest.raises(Conflict, match="served nothing before"):
        back()
    assert database.read_sync(lambda db: list_endpoints(db, "p")) == (restored,)
    with pytest.raises(NotFound) as caught:
        database.read_sync(lambda db: get_endpoint(db, "p", "endpoint/handbok"))
    assert caught.value.hint == "Did you mean handbook?"


def test_the_first_release_that_a_key_signs_notes_the_key_in_the_audit(database, blobs, tmp_path):
    apply(database, blobs, HANDBOOK)
    key, _ = signing.platform_key(tmp_path)

    def made(by):
        sign = partial(signing.sign, key=key)
        return database.write_sync(lambda db: make_release(db, "p", "chain/handbook", now_ns=1, by=by, signer=sign))

    first = made("ann")
    apply(database, blobs, OTHER)
    made("bob")
    page = database.read_sync(lambda db: list_entries(db, SYSTEM, action="signing_key.made"))
    assert [(each.who, each.target) for each in page.items] == [("ann", first.signature.fingerprint)]
