# ruff: noqa: ASYNC240  (small files of a test)
"""A whole project to an archive and into another one, through the client, as people with roles do it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from tidemill.api import transfer
from tidemill.client import AsyncClient
from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Denied, Invalid, NotFound, TidemillError
from tidemill.core.settings import Settings

pytestmark = pytest.mark.anyio
FILES = """
kind: model
name: echo
provider: test
---
kind: embedder
name: small
provider: test
---
kind: prompt
name: ask
description: Asks
tags: {team: search}
text: |
  Answer: {{question}}
---
kind: chain
name: help
inputs: {question: string}
steps:
  - {id: answer, prompt: prompt/ask, model: model/echo, with: {question: "{{question}}"}, fallback: {value: sorry}}
output: "{{answer.text}}"
---
kind: dataset
name: questions
rows: [{q: a, a: a}, {q: b, a: b}]
roles: {input: q, reference: a}
---
kind: index
name: pages
source: docs
embed: embedder/small
---
kind: gate
name: good
checks: [{metric: exact_match, min: 0.3}]
---
kind: connection
name: openai
provider: openai
api_key: env:KEY
"""


def write(folder: Path) -> None:
    (folder / "tidemill" / "app.yaml").write_text(FILES, "utf-8")
    (folder / "docs").mkdir()
    (folder / "docs" / "a.md").write_text("# A\n\nText.\n", "utf-8")


async def digests(client: AsyncClient) -> dict[str, str]:
    return {each["ref"]: each["digest"] for each in await client.artifacts() if "digest" in each}


async def test_a_project_elsewhere_has_the_same_digests_and_its_files_say_the_same(
    folder: Path, opened: Any, tmp_path: Path
) -> None:
    write(folder)
    out = tmp_path / "out" / "e.zip"
    async with opened() as client:
        await client.apply()
        release = await client.make_release("chain/help")
        evaluation = await client.evaluate("chain/help", data="dataset/questions", scorers=["exact_match"])
        there = await digests(client)
        made = await client.export(out)
        await client.export(tmp_path / "unpacked")
        with pytest.raises(Invalid, match="not an empty folder"):
            await client.export(tmp_path / "unpacked")
    assert made["bytes"] == out.stat().st_size
    assert made["counts"]["evaluation_samples"] == 2
    async with opened("elsewhere") as client:
        trial = await client.import_(out, dry_run=True)
        assert trial["added"]["versions"] == len(there)
        assert not await digests(client)
        done = await client.import_(tmp_path / "unpacked")
        assert done["added"]["evaluations"] == 1
        assert await digests(client) == there
        assert (await client.release(release["digest"]))["digest"] == release["digest"]
        copied = (await client.evaluations())[0]
        assert copied["metrics"] == evaluation["metrics"]
        assert not (await client.import_(out))["added"]
    readable = Settings(root=tmp_path / "unpacked" / "project", data=folder / ".tidemill", project="from-files")
    async with AsyncClient(settings=readable) as client:
        await client.apply()
        mine = await digests(client)
        assert mine.items() <= there.items()
        assert len(mine) == len(there) - 1  # the release is made, not written


async def test_only_an_admin_takes_a_project_elsewhere(folder: Path, opened: Any, tmp_path: Path) -> None:
    write(folder)
    async with opened() as client:
        await client.apply()
        await client.export(tmp_path / "e.zip")
        key = (await client.create_key(role="developer"))["key"]
    developer = Settings(root=folder, data=folder / ".tidemill", token=key)
    async with AsyncClient(settings=developer) as client:
        with pytest.raises(Denied, match="developer"):
            await client.import_(tmp_path / "e.zip")
        with pytest.raises(Denied, match="developer"):
            await client.export(tmp_path / "mine.zip")
    assert not (tmp_path / "mine.zip").exists()
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".exporting")] == []


async def test_a_large_archive_is_taken_in_by_a_job(
    folder: Path, opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder)
    async with opened() as client:
        await client.apply()
        await client.export(tmp_path / "e.zip")
    monkeypatch.setattr(transfer, "_AT_ONCE", 1000)
    async with opened("elsewhere") as client:
        assert (await client.import_(tmp_path / "e.zip"))["added"]["versions"] == 7
        (tmp_path / "bad.zip").write_bytes((tmp_path / "e.zip").read_bytes()[:-1])
        with pytest.raises(TidemillError, match="cut off"):
            await client.import_(tmp_path / "bad.zip")
    assert not any((folder / ".tidemill" / "imports").iterdir())


async def test_a_blob_that_is_gone_or_damaged_stops_an_export_and_is_named(folder: Path, opened: Any, tmp_path: Path) -> None:
    write(folder)
    async with opened() as client:
        await client.apply()
        digest = (await client.artifact("dataset/questions"))["blobs"]["rows"]
        name = digest.removeprefix("sha256:")
        blob = folder / ".tidemill" / "blobs" / "default" / name[:2] / name[2:]
        content = blob.read_bytes()
        blob.write_bytes(b"damaged")
        with pytest.raises(Invalid, match=f"{digest} of dataset/questions@v1 is damaged"):
            await client.export(tmp_path / "e.zip")
        blob.unlink()
        with pytest.raises(NotFound, match="dataset/questions@v1 is gone"):
            await client.export(tmp_path / "e.zip")
        await client.export(tmp_path / "without.zip", blobs=False)
        blob.write_bytes(content)
    assert not (tmp_path / "e.zip").exists()
    async with opened("elsewhere") as client:
        with pytest.raises(Invalid, match="needs the blob"):
            await client.import_(tmp_path / "without.zip")
    async with opened() as client:
        assert not (await client.import_(tmp_path / "without.zip"))["added"]


async def test_no_secret_is_in_an_archive(folder: Path, opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "very-secret-value")
    write(folder)
    async with opened() as client:
        await client.apply()
        key = (await client.create_key(role="viewer"))["key"]
        await client.export(tmp_path / "e.zip")
    with zipfile.ZipFile(tmp_path / "e.zip") as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
    for secret in (b"very-secret-value", key.encode(), (folder / ".tidemill" / "token").read_bytes().strip()):
        assert secret not in everything
    assert digest_bytes(key.encode()).encode() not in everything
