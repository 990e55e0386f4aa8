"""A release holds, or each thing that does not is named: by the registry, and by a lock file and a folder alone."""

from __future__ import annotations

import json
import shutil

import pytest

from store.project import apply, files_of
from tidemill.core.digests import canonical, digest_bytes
from tidemill.core.errors import Invalid, Unavailable
from tidemill.store import signing
from tidemill.store.blobs import Blobs
from tidemill.store.purge import users_of
from tidemill.store.registry import add_version, get_version
from tidemill.store.release import get_release, make_release
from tidemill.store.tables import versions
from tidemill.store.verify import Folder, Stored, artifact_bytes, verify_lock

FILES = """\
kind: chain
name: handbook
uses: [prompt/answer, dataset/rows]
---
kind: prompt
name: answer
text: Answer.
---
kind: dataset
name: rows
path: rows.jsonl
"""
ROWS = b'{"q":"one"}\n{"q":"two"}\n'


@pytest.fixture
def signer(tmp_path):
    key, _ = signing.platform_key(tmp_path)
    return lambda message: signing.sign(message, key=key)


@pytest.fixture
def release(database, blobs, signer):
    apply(database, blobs, FILES, files=files_of(blobs, **{"rows.jsonl": ROWS}))
    return database.write_sync(lambda db: make_release(db, "p", "chain/handbook", now_ns=1, by="ann", signer=signer))


@pytest.fixture
def check(database, blobs):
    def check(lock, **more):
        source = database.read_sync(lambda db: Stored(db, "p", lock, blobs))
        return verify_lock(lock, source, **more)

    return check


def states(found):
    return {(each.what, each.name): each.state for each in found.lines}


def test_a_release_that_is_whole_holds_and_says_who_signed_it(release, check, database):
    found = check(release.lock, key=release.signature.fingerprint)
    assert found.holds
    assert found.fingerprint == release.signature.fingerprint == release.lock["signature"]["fingerprint"]
    assert set(states(found).values()) == {"ok"}
    assert ("blob", "dataset/rows content") in states(found)
    assert database.read_sync(lambda db: get_release(db, "p", release.digest)).lock == release.lock


def test_the_same_release_is_signed_once(release, database, signer):
    again = database.write_sync(lambda db: make_release(db, "p", "chain/handbook", now_ns=2, signer=signer))
    assert again == release


def test_each_thing_that_was_changed_is_named(release, check, database, blobs):
    blob = digest_bytes(ROWS)
    place = ("blob", "dataset/rows content")
    blobs.path(blob).write_bytes(b"other")
    assert states(check(release.lock))[place] == "damaged"
    blobs.path(blob).unlink()
    found = check(release.lock)
    assert (states(found)[place], found.holds) == ("missing", False)
    forged = {**release.lock, "root": "prompt/answer"}
    assert states(check(forged))["release", release.digest] == "altered"
    spec = versions.c.spec
    with database.engine.begin() as connection:
        connection.execute(versions.update().where(versions.c.name == "answer").values({spec: {"text": "Other.", "uses": []}}))
    assert states(check(release.lock))["artifact", "prompt/answer"] == "altered"
    with database.engine.begin() as connection:
        connection.execute(versions.delete().where(versions.c.name == "answer"))
    assert states(check(release.lock))["artifact", "prompt/answer"] == "missing"


def test_documents_of_an_index_are_checked_too(database, blobs, signer, tmp_path):
    one, two = blobs.put(b"# One"), blobs.put(b"# Two")
    listing = [{"blob": one, "format": "md", "id": "one.md"}, {"blob": two, "format": "md", "id": "two.md"}]
    documents = blobs.put(canonical(listing))
    named = {"project": "p", "parsed_spec": {}, "now_ns": 1}
    with database.engine.begin() as db:
        index, _ = add_version(db, kind="index", name="docs", refs={}, blobs={"documents": documents}, **named)
        chain, _ = add_version(db, kind="chain", name="x", refs={"index/docs": index.digest}, blobs={}, **named)
        made = make_release(db, "p", chain.ref, now_ns=1, by="ann", signer=signer)
    folder = tmp_path / "apart"
    shutil.copytree(blobs.path(one).parent.parent, folder)
    apart = Blobs.at(folder)
    for each in (index, chain):
        apart.put(artifact_bytes(each.kind, spec={}, refs=each.refs, blobs=each.blobs))
    sources = [(database.read_sync(lambda db: Stored(db, "p", made.lock, blobs)), blobs), (Folder(folder), apart)]
    for source, kept in sources:
        assert verify_lock(made.lock, source).holds
        kept.path(one).write_bytes(b"# Other")
        kept.path(two).unlink()
        found = verify_lock(made.lock, source)
        assert not found.holds
        bad = {each.name: each.state for each in found.lines if each.state != "ok"}
        assert bad == {"index/docs one.md": "damaged", "index/docs two.md": "missing"}


def test_a_signature_is_of_this_release_and_by_the_key_that_is_asked_for(release, check, tmp_path):
    other, _ = signing.platform_key(tmp_path / "other")
    by = release.lock["signature"]
    wrong = {**release.lock, "signature": {**by, "signature": "00" * 64}}
    assert not check(wrong).holds
    assert not check(release.lock, key=signing.sign(b"", key=other).fingerprint).holds
    evidence = signing.sign(
        release.digest.encode(), key=tmp_path / "keys" / "evidence.pem"
    )  # of the digest, but not as a release
    assert not check({**release.lock, "signature": {**by, "signature": evidence.signature.hex()}}).holds
    unsigned = {name: each for name, each in release.lock.items() if name != "signature"}
    assert [each.detail for each in check(unsigned).lines if each.what == "signature"] == ["the release is not signed"]
    for broken in (None, [], {}, {**release.lock, "artifacts": {"../x": {}}}, {**release.lock, "signature": "x"}):
        with pytest.raises(Invalid):
            check(broken)


def test_a_lock_file_and_a_folder_are_enough(release, database, blobs, tmp_path):
    folder = tmp_path / "apart"
    shutil.copytree(blobs.path(digest_bytes(ROWS)).parent.parent, folder)
    assert {each.name for each in verify_lock(release.lock, Folder(folder)).lines if each.state == "missing"} == {
        "chain/handbook", "prompt/answer", "dataset/rows",
    }  # fmt: skip
    for ref in ("chain/handbook", "prompt/answer", "dataset/rows"):
        version = database.read_sync(lambda db, ref=ref: get_version(db, "p", ref))
        content = artifact_bytes(version.kind, spec=version.spec, refs=version.refs, blobs=version.blobs)
        assert Blobs.at(folder).put(content) == version.digest
    found = verify_lock(release.lock, Folder(folder), key=release.signature.fingerprint)
    assert (found.holds, set(states(found).values())) == (True, {"ok"})
    prompt = release.lock["artifacts"]["prompt/answer"]["digest"]
    Blobs.at(folder).path(prompt).write_bytes(b"{}")
    assert states(verify_lock(release.lock, Folder(folder)))["artifact", "prompt/answer"] == "altered"


def test_an_export_that_was_unpacked_is_enough(release, database, blobs, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(blobs.path(digest_bytes(ROWS)).parent.parent, folder / "blobs")
    (folder / "registry").mkdir()
    found = [database.read_sync(lambda db, ref=ref: get_version(db, "p", ref)) for ref in release.lock["artifacts"]]
    names = ("kind", "name", "digest", "spec", "refs", "blobs")
    rows = [json.dumps({name: getattr(each, name) for name in names}) for each in found]
    (folder / "registry" / "versions.jsonl").write_text("\n".join(rows))
    assert set(states(verify_lock(release.lock, Folder(folder))).values()) == {"ok"}
    (folder / "registry" / "versions.jsonl").write_text("\n".join(rows).replace("Answer.", "Other."))
    assert states(verify_lock(release.lock, Folder(folder)))["artifact", "prompt/answer"] == "altered"
    (folder / "registry" / "versions.jsonl").write_text("{}")
    with pytest.raises(Invalid, match="not a version"):
        Folder(folder)


def test_a_damaged_blob_is_named_with_what_uses_it(release, database, blobs, tmp_path):
    named = Blobs(tmp_path / "blobs", "p", users=lambda digest: database.read_sync(lambda db: users_of(db, "p", digest)))
    digest = digest_bytes(ROWS)
    named.path(digest).write_bytes(ROWS[:-2])
    with pytest.raises(Unavailable) as caught:
        named.get(digest)
    assert caught.value.message == f"blob {digest} is damaged on the disk; it is dataset/rows@v1 content"


def test_erased_rows_verify_as_erased(release, check, blobs, tmp_path):
    blob = digest_bytes(ROWS)
    assert blobs.erase(blob, {digest_bytes(b'{"q":"one"}')}, told={"at_ns": "1", "why": "asked", "by": "ann"}) == 1
    found = check(release.lock)
    assert (states(found)["blob", "dataset/rows content"], found.holds) == ("erased", True)
    shutil.copytree(blobs.path(blob).parent.parent, tmp_path / "apart")
    assert states(verify_lock(release.lock, Folder(tmp_path / "apart")))["blob", "dataset/rows content"] == "erased"
