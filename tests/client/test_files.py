from __future__ import annotations

import os
from pathlib import Path

import pytest

from tidemill.client.files import collect
from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Invalid
from tidemill.core.settings import Settings


def write(root: Path, path: str, content: str | bytes) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(content if isinstance(content, bytes) else content.encode())


def test_specs_and_what_they_name(settings: Settings) -> None:
    root = settings.root
    write(
        root,
        "tidemill/a.yaml",
        "kind: dataset\nname: d\npath: data/rows.csv\n---\nkind: index\nname: i\nsource: {folder: docs}\n",
    )
    write(root, "tidemill/sub/b.yml", "kind: model\nname: m\nprovider: test\nscript: data/script.jsonl\n")
    write(root, "tidemill/notes.txt", "not a spec")
    write(root, "data/rows.csv", "id\n1\n")
    write(root, "data/script.jsonl", "{}")
    write(root, "data/other.csv", "named by nobody")
    write(root, "docs/one.md", "# One")
    write(root, "docs/deep/two.pdf", b"%PDF\xff")
    write(root, "docs/.hidden/three.md", "hidden")
    found = collect(settings)
    assert set(found.specs) == {"tidemill/a.yaml", "tidemill/sub/b.yml"}
    assert set(found.digests) == {"data/rows.csv", "data/script.jsonl", "docs/one.md", "docs/deep/two.pdf"}
    assert found.manifest()["docs/one.md"] == {"blob": digest_bytes(b"# One")}
    assert found.manifest()["tidemill/a.yaml"] == (root / "tidemill/a.yaml").read_text()


def test_a_name_is_looked_for_beside_its_spec_first(settings: Settings) -> None:
    write(
        settings.root,
        "tidemill/a.yaml",
        "kind: dataset\nname: d\npath: rows.csv\n---\nkind: dataset\nname: e\npath: other.csv\n",
    )
    write(settings.root, "tidemill/rows.csv", "beside")
    write(settings.root, "rows.csv", "not this one")
    write(settings.root, "other.csv", "from the project's folder")
    assert collect(settings).manifest()["tidemill/rows.csv"] == {"blob": digest_bytes(b"beside")}
    assert set(collect(settings).digests) == {"tidemill/rows.csv", "other.csv"}


@pytest.mark.parametrize("path", ["missing.csv", '"a\\0b"'])
def test_a_name_that_leads_nowhere_is_left_to_the_server(settings: Settings, path: str) -> None:
    write(settings.root, "tidemill/a.yaml", f"kind: dataset\nname: d\npath: {path}\n")
    assert not collect(settings).digests


@pytest.mark.parametrize("path", ["/etc/hostname", "../outside.txt", "docs/../../outside.txt"])
def test_a_name_never_leaves_the_project(settings: Settings, path: str) -> None:
    (settings.root.parent / "outside.txt").write_text("private")
    write(settings.root, "tidemill/a.yaml", f"kind: dataset\nname: a\npath: {path}\n")
    assert not collect(settings).digests


def test_a_spec_that_is_broken_is_sent_as_it_is(settings: Settings) -> None:
    write(settings.root, "tidemill/a.yaml", "kind: [\n")
    assert collect(settings).specs == {"tidemill/a.yaml": "kind: [\n"}


def test_a_spec_that_is_not_utf8_names_its_line(settings: Settings) -> None:
    write(settings.root, "tidemill/a.yaml", b"kind: model\nname: \xff\n")
    with pytest.raises(Invalid) as caught:
        collect(settings)
    assert caught.value.where == "tidemill/a.yaml:2"


def test_no_spec_at_all_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(Invalid, match=r"no \*\.yaml under tidemill") as caught:
        collect(settings)
    assert "tidemill init" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_noted_and_the_rest_is_collected(settings: Settings) -> None:
    write(settings.root, "tidemill/a.yaml", "kind: index\nname: i\nsource: docs\n")
    write(settings.root, "docs/a.md", "a")
    write(settings.root, "docs/b.md", "b")
    (settings.root / "docs/b.md").chmod(0)
    found = collect(settings)
    assert set(found.digests) == {"docs/a.md"}
    assert found.notes[0].where == "docs/b.md"
