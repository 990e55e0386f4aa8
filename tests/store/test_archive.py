"""Archives that are not what they say: each is refused with one clear error, before anything is kept."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Conflict, Invalid
from tidemill.store.archive import VERSION, ArchiveWriter, blob_name, open_archive

CONTENT = b'{"a":1}\n' * 100
BLOB = b"some content"


def made(path: Path) -> Path:
    with path.open("wb") as file, ArchiveWriter(file) as writer:
        writer.add("registry/versions.jsonl", [CONTENT])
        writer.add(blob_name(digest_bytes(BLOB)), [BLOB])
        writer.finish({"project": "p", "counts": {}})
    return path


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None], **manifest: object) -> Path:
    """The archive with other files in it; its manifest is not made to fit unless it is given."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    if manifest:
        files["manifest.json"] = json.dumps(json.loads(files["manifest.json"]) | manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(Invalid, match=match), open_archive(path):
        pass


def test_an_archive_is_read_as_it_was_written(tmp_path: Path) -> None:
    with open_archive(made(tmp_path / "a.zip")) as archive:
        assert len(list(archive.rows("registry/versions.jsonl"))) == 100
        assert b"".join(archive.pieces(blob_name(digest_bytes(BLOB)))) == BLOB
        assert list(archive.rows("registry/nothing.jsonl")) == []


def test_the_same_content_makes_the_same_bytes(tmp_path: Path) -> None:
    assert made(tmp_path / "a.zip").read_bytes() == made(tmp_path / "b.zip").read_bytes()


def test_what_is_no_zip_or_cut_off_is_refused(tmp_path: Path) -> None:
    whole = made(tmp_path / "a.zip").read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.zip").write_bytes(whole[:size])
        refused(tmp_path / "cut.zip", "no zip file, or it was cut off")


def test_changed_bytes_are_named(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    content[content.find(BLOB) + 2] ^= 1
    path.write_bytes(bytes(content))
    refused(path, "blobs/")


def test_a_manifest_that_lies_is_refused(tmp_path: Path) -> None:
    def longer(files: dict[str, bytes]) -> None:
        files["registry/versions.jsonl"] += b"{}\n"

    def other(files: dict[str, bytes]) -> None:
        files["registry/versions.jsonl"] = b"x" * len(CONTENT)

    refused(rewritten(made(tmp_path / "a.zip"), longer), "says otherwise")
    refused(rewritten(made(tmp_path / "b.zip"), other), "versions.jsonl has the digest")
    refused(
        rewritten(made(tmp_path / "c.zip"), lambda files: files.update({"more.txt": b"x"})), "'more.txt', which manifest.json"
    )
    refused(rewritten(made(tmp_path / "d.zip"), lambda files: files.pop("registry/versions.jsonl")), "does not hold")
    refused(rewritten(made(tmp_path / "e.zip"), lambda files: files.pop("manifest.json")), "no manifest.json")
    refused(rewritten(made(tmp_path / "f.zip"), lambda _: None, schema="other"), "not that of an export")
    refused(rewritten(made(tmp_path / "g.zip"), lambda files: files.update({"manifest.json": b"[1]"})), "not that of an export")


def test_a_blob_that_has_another_digest_than_its_name_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with path.open("wb") as file, ArchiveWriter(file) as writer:
        writer.add(blob_name(digest_bytes(BLOB)), [b"other"])
        writer.finish({"project": "p"})
    refused(path, "holds other content")


def test_a_newer_format_is_told(tmp_path: Path) -> None:
    path = rewritten(made(tmp_path / "a.zip"), lambda _: None, version=VERSION + 1)
    with pytest.raises(Conflict, match="newer Tidemill"), open_archive(path):
        pass


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../out", "C:/out", "a\\..\\out", "a//b", "."])
def test_a_name_that_leads_out_is_refused(name: str, tmp_path: Path) -> None:
    refused(
        rewritten(made(tmp_path / "a.zip"), lambda files: files.update({name: b"x"})), "leads out|says otherwise|does not name"
    )


def with_member(path: Path, info: zipfile.ZipInfo, content: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, content)
    return path


def test_links_are_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("registry/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(with_member(made(tmp_path / "a.zip"), info, b"/etc/passwd"), "link")


def test_a_name_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = with_member(made(tmp_path / "a.zip"), zipfile.ZipInfo("registry/versions.jsonl"))
    refused(path, "twice")


def test_encrypted_files_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    place = content.find(b"PK\x01\x02")
    content[place + 8] |= 1
    path.write_bytes(bytes(content))
    refused(path, "encrypted")


def test_other_packing_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("more")
    info.compress_type = zipfile.ZIP_LZMA
    refused(with_member(made(tmp_path / "a.zip"), info), "packed in a way")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path, info = made(tmp_path / "a.zip"), zipfile.ZipInfo("bomb")
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "a") as archive, archive.open(info, "w") as member:
        for _ in range(100):
            member.write(bytes(1024 * 1024))
    refused(path, "zip bomb")


def test_files_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip")
    content = path.read_bytes()
    start = content.find(b"PK\x01\x02")
    first = content.find(b"PK\x01\x02", start + 4)
    entry = bytearray(content[start:first])
    place = entry.find(b"registry/versions.jsonl")
    entry[place : place + 8] = b"registrY"
    end = bytearray(content[content.find(b"PK\x05\x06") :])
    count = int.from_bytes(end[8:10], "little") + 1
    end[8:10] = end[10:12] = count.to_bytes(2, "little")
    end[12:16] = (int.from_bytes(end[12:16], "little") + len(entry)).to_bytes(4, "little")
    path.write_bytes(content[:start] + bytes(entry) + content[start : content.find(b"PK\x05\x06")] + bytes(end))
    refused(path, "shares its bytes")


def test_a_line_that_is_no_object_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with path.open("wb") as file, ArchiveWriter(file) as writer:
        writer.add("registry/versions.jsonl", [b"{}\n", b"[1]\n"])
        writer.finish({"project": "p"})
    with open_archive(path) as archive, pytest.raises(Invalid, match=r"versions\.jsonl:2"):
        list(archive.rows("registry/versions.jsonl"))


def test_what_does_not_pack_is_stored_as_it_is() -> None:
    import os

    file, content = io.BytesIO(), os.urandom(200_000)
    with ArchiveWriter(file) as writer:
        writer.add("random", [content])
        writer.finish({"project": "p"})
    with zipfile.ZipFile(file) as archive:
        assert archive.getinfo("random").compress_type == zipfile.ZIP_STORED
        assert archive.read("random") == content
