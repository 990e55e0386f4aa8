# ruff: noqa: E501, ISC004  (documents stand as they are written)
"""What was changed in the registry goes back into the files: every kind, comments and all, all or nothing."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import anyio
import pytest

from tidemill.cli.main import run
from tidemill.client.pull import write_all
from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Conflict, Denied, NotFound, Unavailable

pytestmark = pytest.mark.anyio

# Of each kind: what the files say, and what another door puts into the registry.
KINDS: Mapping[str, tuple[str, str]] = {
    "prompt": (
        "text: |   # asked\n  Tell me about {{topic}}.\n\n  Be short.\nvariables: [topic]  # one\n",
        'text: "Tell me about {{topic}}.\\n\\nBe brief.\\nSay why.\\n"\nvariables: [topic]\n',
    ),
    "model": ("provider: test\nparams: {temperature: 0.2}  # cool\nreply: 'ok'\n", "provider: test\nparams: {temperature: 0.9}\nreply: ok\n"),
    "embedder": ("provider: test  # words\n", "provider: test\ndimensions: 64\n"),
    "connection": ("provider: openai\nbase_url: https://one.example/v1  # ours\n", "provider: openai\nbase_url: https://two.example/v1\ntimeout: 5\n"),
    "dataset": (
        "rows:\n  # the first\n  - {question: a, answer: b}\n  - {question: c, answer: d}\nroles: {input: question}\n",
        "rows: [{question: a, answer: b}, {question: c, answer: other}, {question: e, answer: f}]\nroles: {input: question}\n",
    ),
    "index": ("source: docs   # here\nembed: embedder/small\n", "source: docs\nembed: embedder/small\nchunk: {max_chars: 500}\nsearch: {k: 3}\n"),
    "chain": (
        "inputs: {q: string}\nsteps:\n  # ask\n  - {id: a, prompt: prompt/p, model: model/m, with: {topic: '{{q}}'}}\noutput: '{{a.text}}'\n",
        "inputs: {q: string, r: {type: string, default: x}}\nsteps:\n  - {id: a, prompt: prompt/p, model: model/m, with: {topic: '{{r}}'},"
        " retries: 2, fallback: {value: no}}\noutput: '{{a.text}}!'\n",
    ),
    "agent": ("model: model/m  # small\nprompt: prompt/p\ninputs: {topic: string}\n", "model: model/m\nprompt: prompt/p\ninputs: {topic: string}\nlimits: {steps: 3}\n"),
    "tool": ("python: json:dumps\nparameters: {type: object}  # any\n", "python: json:dumps\nparameters: {type: object}\neffects: none\npurpose: Writes\n"),
    "function": ("call: json:dumps  # std\n", "call: json:dumps\neffects: none\n"),
    "guardrail": (
        "on: input\ncheck: {denylist: {words: [secret]}}  # words\naction: block\n",
        "on: input\ncheck: [{denylist: {words: [secret, hidden]}}, {max_length: {characters: 9}}]\naction: redact\n",
    ),
    "scorer": ("scorer: recall_at_k\noptions: {k: 3}  # three\n", "scorer: recall_at_k\noptions: {k: 5}\n"),
    "gate": ("checks:\n  # good enough\n  - {metric: token_f1, min: 0.5}\n", "checks: [{metric: token_f1, min: 0.6}, {metric: mrr, min: 0.1}]\ncorrection: none\n"),
    "endpoint": ("app: chain/c  # the chain\n", "app: prompt/p\n"),
    "monitor": ("endpoint: endpoint/x  # live\nreference: dataset/d\n", "endpoint: endpoint/x\nreference: dataset/d\nwindow: 2d\nalpha: 0.01\n"),
    "pipeline": (
        "steps:\n  # once\n  - {id: measure, evaluate: {app: chain/c, data: dataset/d}}\n",
        "inputs: {share: 10%}\nsteps:\n  - {id: measure, evaluate: {app: chain/c, data: dataset/d, n: 2}, timeout: 60}\n"
        "  - {id: lock, release: chain/c, needs: [measure]}\n",
    ),
    "policy": ("protects: [endpoint/x]  # live\nrequire: []\n", "protects: [endpoint/x, endpoint/y]\nrequire: []\nenabled: false\n"),
    "tune": ("base: model/l  # here\ndata: dataset/t\n", "base: model/l\ndata: dataset/t\nsteps: 20\nlora: {rank: 4}\n"),
    "environment": ("protected: false  # open\n", "protected: true\nfrom: staging\n"),
}  # fmt: skip
OTHERS = """
kind: prompt
name: p
text: "About {{topic}}"
---
kind: model
name: m
provider: test
---
kind: model
name: l
provider: local
---
kind: embedder
name: small
provider: test
---
kind: chain
name: c
inputs: {q: string}
steps: [{id: a, prompt: prompt/p, model: model/m, with: {topic: "{{q}}"}}]
---
kind: dataset
name: d
rows: [{question: a, answer: b}]
roles: {input: question}
---
kind: dataset
name: t
rows: [{prompt: a, completion: b}]
roles: {input: prompt, reference: completion}
"""


def comments_in(text: str) -> list[str]:
    return [line.partition("#")[2] for line in text.split("\n") if "#" in line]


def document(kind: str, body: str, *, head: str = "") -> str:
    return f"{head}kind: {kind}\nname: it\n{body}"


async def change(client: Any, text: str, **more: Any) -> None:
    """Change the registry by another door than the project's files."""
    body = {"files": {"elsewhere.yaml": text, **more}, "whole": False}
    await client._line.send("POST", "/apply", body=body)


async def append(client: Any, dataset: str, rows: list[dict[str, Any]]) -> None:
    await client._line.send("POST", f"/datasets/{dataset}/samples", body={"rows": rows})


async def test_after_a_pull_a_plan_is_empty_and_the_comments_are_there(folder: Path, opened: Any) -> None:
    specs = {kind: folder / "tidemill" / f"it-{kind}.yaml" for kind in KINDS}
    for kind, (before, _) in KINDS.items():
        specs[kind].write_text(document(kind, before, head="# the one\n"), "utf-8")
    (folder / "tidemill" / "others.yaml").write_text(OTHERS, "utf-8")
    (folder / "tidemill" / "docs").mkdir()
    (folder / "tidemill" / "docs" / "a.md").write_text("# A\n\nText.\n", "utf-8")
    refs = {f"{kind}/it" for kind in KINDS}
    async with opened() as client:
        await client.apply()
        changed = "---\n".join(document(kind, after) for kind, (_, after) in KINDS.items())
        await change(client, changed, **{"docs/a.md": "# A\n\nText.\n"})
        drift = (await client.plan())["drift"]
        assert {(each["ref"], each["case"]) for each in drift} == {(ref, "registry") for ref in refs}
        with pytest.raises(Conflict) as refused:
            await client.apply(strict=True)
        assert len(refused.value.problems) == len(refs)
        pulled = await client.pull()
        assert {each["ref"] for each in pulled["changes"]} == refs
        assert not pulled["notes"]
        planned = await client.plan()
        assert not [each["ref"] for each in planned["changes"]]
        assert not planned["drift"]
        assert (await client.pull())["changes"] == []
    for kind, (before, _) in KINDS.items():
        text = specs[kind].read_text("utf-8")
        assert set(comments_in(document(kind, before, head="# the one\n"))) <= set(comments_in(text)), text


async def test_only_the_rows_that_changed_differ_in_a_file_of_rows(folder: Path, opened: Any) -> None:
    rows = 'question,answer\r\n"a, b",c\r\nd,"e"\r\n'
    (folder / "tidemill" / "rows.csv").write_bytes(rows.encode())
    (folder / "tidemill" / "more.jsonl").write_text('{"q": "a",  "n": 1}\n\n{"n": 2, "q": "b"}\n', "utf-8")
    (folder / "tidemill" / "it.yaml").write_text(
        "kind: dataset\nname: rows\npath: rows.csv\nroles: {input: question}\n---\n"
        "kind: dataset\nname: more\npath: more.jsonl\nroles: {input: q}\n",
        "utf-8",
    )
    async with opened() as client:
        await client.apply()
        await append(client, "rows", [{"question": "f", "answer": 'g "h"'}])
        await append(client, "more", [{"q": "c", "n": 3}])
        await client.pull(["dataset/rows", "dataset/more"])
        assert not (await client.plan())["changes"]
    assert (folder / "tidemill" / "rows.csv").read_bytes().decode() == rows + 'f,"g ""h"""\r\n'
    lines = (folder / "tidemill" / "more.jsonl").read_text("utf-8").split("\n")
    assert lines == ['{"q": "a",  "n": 1}', '{"n": 2, "q": "b"}', '{"q": "c", "n": 3}', ""]


async def test_rows_that_a_csv_cannot_hold_move_to_a_file_that_can(folder: Path, opened: Any) -> None:
    (folder / "tidemill" / "rows.csv").write_text("question\na\n", "utf-8")
    spec = folder / "tidemill" / "it.yaml"
    spec.write_text("kind: dataset\nname: rows\npath: rows.csv  # by hand\nroles: {input: question}\n", "utf-8")
    async with opened() as client:
        await client.apply()
        await append(client, "rows", [{"question": "b", "tags": ["x"]}])
        await client.pull()
        assert not (await client.plan())["changes"]
    assert "path: rows.jsonl  # by hand" in spec.read_text("utf-8")


async def test_what_was_changed_in_both_is_refused_and_theirs_takes_the_registrys(folder: Path, opened: Any) -> None:
    spec = folder / "tidemill" / "it.yaml"
    spec.write_text("kind: prompt\nname: it\ntext: one\n", "utf-8")
    async with opened() as client:
        await client.apply()
        await change(client, "kind: prompt\nname: it\ntext: theirs\n")
        spec.write_text("kind: prompt\nname: it\ntext: mine # kept\n", "utf-8")
        assert (await client.plan())["drift"][0]["case"] == "both"
        with pytest.raises(Conflict, match="prompt/it"):
            await client.pull()
        assert "mine" in spec.read_text("utf-8")
        await client.pull(theirs=True)
        assert spec.read_text("utf-8") == "kind: prompt\nname: it\ntext: theirs # kept\n"
        assert not (await client.plan())["changes"]


async def test_new_artifacts_get_files_and_named_ones_alone_are_pulled(folder: Path, opened: Any) -> None:
    async with opened() as client:
        await change(client, OTHERS)
        with pytest.raises(NotFound, match="prompt/nobody"):
            await client.pull(["prompt/nobody"])
        dry = await client.pull(["prompt/p"], dry_run=True)
        assert dry["written"] == ["tidemill/prompt-p.yaml"]
        assert not list((folder / "tidemill").iterdir())
        await client.pull(["prompt/p"])
        assert [each.name for each in (folder / "tidemill").iterdir()] == ["prompt-p.yaml"]
        await client.pull()
        assert not (await client.plan())["changes"]


async def test_what_stands_in_a_file_stays_as_a_document_is_added(folder: Path, opened: Any) -> None:
    file = folder / "tidemill" / "all.yaml"
    text = "kind: prompt\r\nname: other\r\ntext: x\r\n---\r\nkind: prompt\r\nname: kept\r\ntext: |+\r\n  one\r\n\r\n"
    file.write_bytes(text.encode())
    async with opened() as client:
        await client.apply()
        await change(client, document("prompt", "text: two\n"))
        await client.pull()
        assert (await client.plan())["changes"] == []
    now = file.read_bytes().decode()
    assert now.startswith(text + "---\r\nkind: prompt\r\nname: it\r\n")
    assert now.count("\n") == now.count("\r\n")


async def test_description_and_tags_come_back_too(folder: Path, opened: Any) -> None:
    spec = folder / "tidemill" / "it.yaml"
    spec.write_text("kind: prompt\nname: it\ntags: [one]   # mine\ntext: one\n", "utf-8")
    async with opened() as client:
        await client.apply()
        await change(client, "kind: prompt\nname: it\ntags: {team: search}\ndescription: Says one\ntext: one\n")
        assert (await client.plan())["drift"][0]["case"] == "registry"
        await client.pull()
        assert not (await client.plan())["changes"]
    assert "description: Says one" in spec.read_text("utf-8")


async def test_files_of_an_apply_before_the_last_go_back_with_a_word(folder: Path, opened: Any) -> None:
    spec = folder / "tidemill" / "it.yaml"
    spec.write_text("kind: prompt\nname: it\ntext: one\n", "utf-8")
    async with opened() as client:
        await client.apply()
        spec.write_text("kind: prompt\nname: it\ntext: two\n", "utf-8")
        await client.apply()
        spec.write_text("kind: prompt\nname: it\ntext: one\n", "utf-8")
        drift = (await client.plan())["drift"]
        assert [(each["case"], each["files"], each["registry"]) for each in drift] == [("behind", "v1", "v2")]
        applied = await client.apply()
        assert applied["versions"][0]["ref"] == "prompt/it@v1"
        assert not (await client.plan())["drift"]


async def test_what_the_files_say_no_more_is_told_and_not_deleted(folder: Path, opened: Any) -> None:
    spec = folder / "tidemill" / "it.yaml"
    spec.write_text("kind: prompt\nname: it\ntext: one\n---\nkind: prompt\nname: other\ntext: two\n", "utf-8")
    async with opened() as client:
        await client.apply()
        spec.write_text("kind: prompt\nname: it\ntext: one\n", "utf-8")
        planned = await client.plan()
        assert not planned["changes"]
        assert [(each["ref"], each["case"]) for each in planned["drift"]] == [("prompt/other", "gone")]
        assert not (await client.pull())["changes"]
        await client.pull(["prompt/other"])
        assert not (await client.plan())["drift"]


def ready(folder: Path, content: Mapping[str, bytes]) -> Path:
    made = folder / "ready"
    made.mkdir()
    for path, each in content.items():
        (made / path.replace("/", "%2F")).write_bytes(each)
    return made


async def test_files_are_written_all_or_none(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.yaml").write_bytes(b"a")
    (root / "b.yaml").mkdir()
    made = ready(tmp_path, {"a.yaml": b"A", "b.yaml": b"B"})
    with pytest.raises(Conflict):
        write_all(root, made, ["a.yaml", "b.yaml"], {"a.yaml": digest_bytes(b"a"), "b.yaml": None})
    assert (root / "a.yaml").read_bytes() == b"a"
    assert sorted(each.name for each in root.iterdir()) == ["a.yaml", "b.yaml"]


async def test_a_file_that_was_changed_meanwhile_stops_all(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.yaml").write_bytes(b"edited")
    made = ready(tmp_path, {"a.yaml": b"A", "new.yaml": b"N"})
    with pytest.raises(Conflict, match="changed meanwhile"):
        write_all(root, made, ["a.yaml", "new.yaml"], {"a.yaml": digest_bytes(b"a"), "new.yaml": None})
    assert sorted(each.name for each in root.iterdir()) == ["a.yaml"]


@pytest.mark.parametrize("path", ["../out.yaml", "link/out.yaml", "linked.yaml"])
async def test_nothing_is_written_outside_of_the_folder(path: str, tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (outside / "target.yaml").write_bytes(b"theirs")
    (root / "linked.yaml").symlink_to(outside / "target.yaml")
    with pytest.raises(Denied, match="out of the project"):
        write_all(
            root, ready(tmp_path, {path: b"x"}), [path], {path: digest_bytes(b"theirs") if path == "linked.yaml" else None}
        )
    assert [each.read_bytes() for each in outside.iterdir()] == [b"theirs"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir(mode=0o500)
    with pytest.raises(Unavailable, match="cannot be written"):
        write_all(root, ready(tmp_path, {"a.yaml": b"x"}), ["a.yaml"], {"a.yaml": None})


async def test_an_apply_goes_back_to_the_files_and_a_strict_one_refuses_to(folder: Path, opened: Any) -> None:
    spec = folder / "tidemill" / "it.yaml"
    spec.write_text("kind: prompt\nname: it\ntext: one\n", "utf-8")
    async with opened() as client:
        await client.apply(strict=True)
        await change(client, "kind: prompt\nname: it\ntext: theirs\n")
        with pytest.raises(Conflict, match="prompt/it") as refused:
            await client.apply(strict=True)
        assert "tidemill pull" in refused.value.hint
        assert (await client.artifact("prompt/it"))["version"] == "v2"
        applied = await client.apply()
        assert [(each["ref"], each["case"], each["registry"]) for each in applied["drift"]] == [("prompt/it", "registry", "v2")]
        assert (await client.artifact("prompt/it"))["version"] == "v1"
        assert "theirs" in str((await client.artifact("prompt/it@v2"))["spec"])
        assert not (await client.plan())["drift"]
        await client.apply(strict=True)


def test_a_script_is_told_what_an_apply_went_back_from(folder: Path, opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "tidemill" / "it.yaml").write_text("kind: prompt\nname: it\ntext: one\n", "utf-8")

    def tidemill(*arguments: str) -> tuple[int, str]:
        err = io.StringIO()
        with redirect_stdout(io.StringIO()), redirect_stderr(err):
            return run(arguments), err.getvalue()

    async def change_it() -> None:
        async with opened() as client:
            await change(client, "kind: prompt\nname: it\ntext: theirs\n")

    assert tidemill("apply", "--yes") == (0, "")
    anyio.run(change_it)
    code, err = tidemill("apply", "--yes", "--strict")
    assert (code, "nothing was applied" in err) == (6, True)
    code, err = tidemill("apply", "--yes")
    assert (code, "prompt/it had v2 by admin (just now); it is kept: tidemill diff prompt/it@v2 prompt/it" in err) == (0, True)
