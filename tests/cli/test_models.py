"""`tidemill models`: found, shown, added and compared, with every mistake told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from models.weights import gguf, onnx

PROJECT = """
kind: model
name: right
provider: test
reply: Paris
---
kind: model
name: echo
provider: test
---
kind: embedder
name: words
provider: test
---
kind: prompt
name: ask
model: model/echo
text: "{{question}}"
variables: [question]
---
kind: dataset
name: capitals
roles: {input: question, reference: answer}
rows:
  - {question: "Capital of France?", answer: Paris}
  - {question: "Where is the Louvre?", answer: Paris}
  - {question: "Where is Montmartre?", answer: Paris}
"""


@pytest.fixture
def project(tidemill, tmp_path: Path) -> Path:
    (tmp_path / "tidemill.toml").touch()
    (tmp_path / "tidemill").mkdir()
    (tmp_path / "tidemill" / "all.yaml").write_text(PROJECT, "utf-8")
    assert tidemill("apply", "--yes").code == 0
    return tmp_path


@pytest.fixture
def ok(tidemill):
    def call(*arguments: str):
        ended = tidemill(*arguments, "--json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    return call


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The folder, served on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_list_narrows_by_facets_and_shows_the_projects_own_first(project: Path, tidemill, ok) -> None:
    found = ok("models", "list", "--limit", "5")
    assert [each["ref"] for each in found["items"][:3]] == ["model/echo@v1", "model/right@v1", "embedder/words@v1"]
    assert [each["configured"] for each in found["items"]] == [True, True, True, False, False]
    assert found["total"] > 1000
    narrow = ok("models", "list", "--q", "gpt", "--provider", "openai", "--max-price", "1", "--min-context", "100000")
    assert len(narrow["items"]) > 0
    for each in narrow["items"]:
        assert "openai" in each["providers"]
        assert each["context"] >= 100_000
    assert narrow["facets"]["provider"]["openai"] == narrow["total"]
    assert [each["ref"] for each in ok("models", "list", "--configured")["items"]] == [
        "model/echo@v1", "model/right@v1", "embedder/words@v1",
    ]  # fmt: skip
    printed = tidemill("models", "list", "--q", "claude", "--facets").out
    assert "in $/M" in printed
    assert "--provider" in printed


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("list", "--provider", "opnai"), 2, "Did you mean openai?"),
        (("list", "--feature", "tool"), 2, "Did you mean tools?"),
        (("list", "--max-price", "-1"), 2, "max_price"),
        (("show", "gpt-4oo"), 3, "Did you mean"),
        (("show", "model/nothing"), 3, "model/nothing"),
        (("compare", "model/right", "--data", "dataset/capitals"), 2, "at least two"),
        (("compare", "model/right", "model/right", "--data", "dataset/capitals"), 2, "at least two"),
        (("compare", "model/right", "model/nothing", "--data", "dataset/capitals"), 3, "model/nothing"),
        (("compare", "model/right", "model/echo", "--data", "dataset/none"), 3, "dataset/none"),
        (("compare", "model/right", "embedder/words", "--data", "dataset/capitals"), 2, "a model is needed"),
        (("compare", "model/right", "model/echo", "--data", "dataset/capitals", "--index", "index/x"), 2, "--app"),
        (("compare", "model/right", "model/echo", "--data", "dataset/capitals", "--by", "speed"), 2, "These are"),
        (("compare", "model/right", "model/echo", "--data", "dataset/capitals", "--scorer", "nonsense"), 2, "nonsense"),
        (("compare", "--embedders", "embedder/words", "embedder/b", "--data", "dataset/capitals"), 2, "--index"),
    ],
)
def test_a_mistake_is_told_and_nothing_starts(project: Path, tidemill, ok, arguments, code, said) -> None:
    ended = tidemill("models", *arguments)
    assert (ended.code, said in ended.err) == (code, True), ended.err
    assert "Traceback" not in ended.err
    assert ok("jobs", "list")["items"] == []


def test_show_is_a_card_for_people_and_programs(project: Path, tidemill, ok) -> None:
    card = ok("models", "show", "anthropic/claude-sonnet-4.5")
    assert card["maker"] == "anthropic"
    assert card["facts"]["context"]["source"]
    assert card["offers"][0]["prices"]["input"]["date"]
    assert card["use"].startswith("kind: model\nname: claude-sonnet-4-5")
    printed = tidemill("models", "show", "gpt-4o").out
    for each in ("Licence", "Context", "Rule", "provider: openai", "genai-prices"):
        assert each in printed
    assert ok("models", "show", "model/right")["configured"] is True


def test_compare_says_what_it_will_take_and_marks_the_front(project: Path, tidemill, ok) -> None:
    arguments = ("models", "compare", "model/right", "model/echo", "--data", "dataset/capitals", "--load", "1000")
    estimate = ok(*arguments, "--estimate")
    assert [(each["runs"], each["reused"]) for each in estimate["estimate"]] == [(3, 0), (3, 0)]
    assert estimate["job"] is None
    result = ok(*arguments)
    assert {each["candidate"]: each["metrics"]["exact_match"]["mean"] for each in result["items"]} == {
        "model/right@v1": 1.0, "model/echo@v1": 0.0,
    }  # fmt: skip
    assert all(each["metrics"]["exact_match"]["interval"] for each in result["items"])
    assert result["items"][0]["cost"]["per_month"] == 0
    assert result["timed"] is True
    again = tidemill(*arguments)
    assert "nothing, 3 are re-used" in again.err
    assert "* front" in again.out
    assert "re-used" in again.out
    assert ok("show", result["items"][0]["evaluation"])["calls"]["model"] == 3


def test_compare_in_an_app_puts_each_model_in_its_place(project: Path, ok) -> None:
    result = ok("models", "compare", "model/right", "model/echo", "--data", "dataset/capitals", "--app", "prompt/ask")
    assert {each["candidate"]: each["metrics"]["contains"]["mean"] for each in result["items"]} == {
        "model/right@v1": 1.0, "model/echo@v1": 0.0,
    }  # fmt: skip


def test_add_a_file_by_path(project: Path, tidemill, ok) -> None:
    (project / "tiny.gguf").write_bytes(gguf())
    added = ok("models", "add", "tiny.gguf", "--name", "tiny")
    assert (added["ref"], added["licence"], added["sha256"]) == ("model/tiny@v1", "Apache-2.0", sha256(gguf()).hexdigest())
    shown = ok("models", "show", "model/tiny")
    assert shown["blobs"] == {"file": f"sha256:{added['sha256']}"}
    assert (shown["tags"]["architecture"], shown["tags"]["quantisation"], shown["context"]) == ("llama", "F32", 2048)
    assert shown["licence"]["verdict"] == "permissive"
    assert ok("models", "add", "tiny.gguf", "--name", "tiny")["ref"] == "model/tiny@v1", "the same again is the same"
    assert (
        "note: the file says that its licence is"
        in tidemill("models", "add", "tiny.gguf", "--name", "t2", "--licence", "MIT").err
    )


def test_add_an_embedder_with_its_tokenizer(project: Path, tidemill, ok) -> None:
    (project / "e.onnx").write_bytes(onnx())
    refused = tidemill("models", "add", "e.onnx", "--name", "e", "--licence", "MIT")
    assert (refused.code, "--tokenizer" in refused.err) == (2, True)
    (project / "tokenizer.json").write_text("{}", "utf-8")
    assert ok("models", "add", "e.onnx", "--name", "e", "--licence", "MIT")["ref"] == "embedder/e@v1"
    assert set(ok("models", "show", "embedder/e")["blobs"]) == {"file", "tokenizer"}


def test_add_a_file_from_an_address_needs_its_hash(project: Path, site: str, tidemill, ok) -> None:
    (project / "tiny.gguf").write_bytes(gguf())
    url = f"{site}/tiny.gguf"
    assert "needs its SHA-256" in tidemill("models", "add", url, "--name", "t").err
    wrong = tidemill("models", "add", url, "--name", "t", "--sha256", "0" * 64)
    assert (wrong.code, "nothing was kept" in wrong.err) == (2, True)
    assert tidemill("models", "add", url, "--name", "t", "--sha256", "12").code == 2
    gone = tidemill("models", "add", f"{site}/gone.gguf", "--name", "t", "--sha256", "0" * 64)
    assert (gone.code, "404" in gone.err) == (5, True)
    assert ok("models", "list", "--configured", "--q", "model/t@")["items"] == []
    assert ok("models", "add", url, "--name", "t", "--sha256", sha256(gguf()).hexdigest())["ref"] == "model/t@v1"


def test_add_a_server(project: Path, tidemill, ok) -> None:
    url = "http://localhost:11434/v1"
    added = ok(
        "models", "add", url, "--name", "here", "--model", "llama3.1:8b", "--licence", "LicenseRef-Llama-3.1", "--allow-private"
    )
    assert added["ref"] == "model/here@v1"
    assert ok("models", "show", "model/here")["spec"] == {"provider": "openai", "model": "llama3.1:8b", "connection": "here"}
    assert ok("get", "connection")["items"][0]["spec"]["allow_private"] is True
    other = tidemill("models", "add", "http://localhost:1/v1", "--name", "here", "--licence", "MIT")
    assert (other.code, "leads to" in other.err) == (6, True)


@pytest.mark.parametrize(
    ("file", "content", "arguments", "said"),
    [
        ("model.pt", b"PK\x03\x04", (), "can run code"),
        ("model.gguf", b"\x80\x04pickle", (), "can run code"),
        ("model.gguf", gguf()[:200], (), "cut off"),
        ("model.gguf", gguf(tensors=2**60), (), "claims"),
        ("model.gguf", gguf(licence="ours"), (), "the licence is missing; the file says 'ours'"),
        ("model.gguf", gguf(), ("--licence", "GPLv3"), "Did you mean GPL-3.0-only?"),
        ("model.gguf", gguf(), ("--sha256", "1" * 64), "nothing was kept"),
        ("model.gguf", gguf(), ("--model", "x"), "goes with a server's address"),
        ("other.gguf", gguf(), (), "there is no file"),
    ],
)
def test_what_cannot_be_added_is_refused_and_nothing_is_kept(
    project: Path, tidemill, ok, file, content, arguments, said
) -> None:
    (project / file).write_bytes(content)
    ended = tidemill("models", "add", "model.pt" if file.endswith("pt") else "model.gguf", "--name", "bad", *arguments)
    assert (ended.code, said in ended.err) == (2, True), ended.err
    assert "model/bad@v1" not in [each["ref"] for each in ok("models", "list", "--configured")["items"]]


def test_a_name_that_is_none(project: Path, tidemill) -> None:
    (project / "tiny.gguf").write_bytes(gguf())
    assert "not allowed" in tidemill("models", "add", "tiny.gguf", "--name", "Tiny Model").err
