from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Invalid, NotFound, Unavailable
from tidemill.store.blobs import Blobs
from tidemill.store.files import FilesFolder


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(content=st.binary())
def test_what_is_put_comes_back_under_its_digest(blobs, content):
    digest = blobs.put(content)
    assert digest == digest_bytes(content) == blobs.put(content)
    assert blobs.get(digest) == content
    assert blobs.path(digest).parts[-3:] == ("p", digest[7:9], digest[9:])


def test_a_project_does_not_see_anothers_blobs(blobs, tmp_path):
    digest = blobs.put(b"secret")
    other = Blobs(tmp_path / "blobs", "q")
    assert not other.has(digest)
    with pytest.raises(NotFound):
        other.get(digest)
    assert other.missing([digest, digest]) == [digest]
    assert blobs.missing([digest]) == []


def test_damage_is_seen(blobs):
    digest = blobs.put(b"content")
    blobs.path(digest).write_bytes(b"c0ntent")
    with pytest.raises(Unavailable, match="damaged"):
        blobs.get(digest)


@pytest.mark.parametrize("digest", ["", "sha256:../../etc/passwd", "sha256:" + "A" * 64, "../x"])
def test_only_digests_name_blobs(blobs, digest):
    with pytest.raises(Invalid):
        blobs.get(digest)


def test_a_projects_name_cannot_leave_the_folder(tmp_path):
    with pytest.raises(Invalid):
        Blobs(tmp_path, "../x")


def test_files_are_named_inside_the_project_only(blobs):
    files = FilesFolder.from_json({"docs/a.md": "A", "docs/sub/b.md": {"blob": blobs.put(b"B")}, "c.yaml": "C"}, blobs)
    assert files.read("./docs/../docs/sub/b.md") == b"B"
    assert files.list("docs/") == ["docs/a.md", "docs/sub/b.md"]
    assert files.list(".") == ["c.yaml", "docs/a.md", "docs/sub/b.md"]
    for bad in ("../x", "/etc/passwd", "docs/../../x", "", "a\\b", "a\0b"):
        with pytest.raises(Invalid, match="leaves the project's folder"):
            files.read(bad)
    with pytest.raises(Invalid) as caught:
        files.list("dosc")
    assert caught.value.hint == "Did you mean docs?"


@pytest.mark.parametrize(
    "sent", [[], {"a": 1}, {"a": {"blob": 1}}, {"a": {"blob": "sha256:" + "0" * 64}}, {"../a": "x"}, {"a": {"blob": "x"}}]
)
def test_other_forms_of_files_are_refused(blobs, sent):
    with pytest.raises(Invalid):
        FilesFolder.from_json(sent, blobs)
