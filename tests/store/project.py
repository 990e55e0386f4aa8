"""A small kind with references, and a project of files, for the tests of plan and apply."""

from __future__ import annotations

from tidemill.core.documents import load_documents
from tidemill.core.errors import Invalid, Problem
from tidemill.core.records import Parsed
from tidemill.store.blobs import Blobs
from tidemill.store.files import FilesFolder
from tidemill.store.plan import apply_plan, make_plan


class Note:
    """A text that may use others, by reference, and a file, by path."""

    versioned = True

    def __init__(self, name: str = "prompt") -> None:
        self.name = name

    def parse(self, body, *, files):
        unknown = sorted(set(body) - {"text", "uses", "path"})
        if unknown:
            raise Invalid("", problems=[Problem(message=f"unknown key {key!r}", where=key) for key in unknown])
        blobs = {"content": files.put_blob(files.read(body["path"]))} if "path" in body else {}
        uses = list(body.get("uses", ()))
        references = {f"uses.{index}": each for index, each in enumerate(uses)}
        return Parsed(spec={"text": body.get("text", ""), "uses": uses}, references=references, blobs=blobs)

    def check(self, spec, *, resolved):
        return [
            Problem(message=f"{written} says stop", where="uses.0")
            for written, version in resolved.items()
            if version.spec.get("text") == "stop"
        ]

    def diff(self, old, new):
        return [] if old == new else [f"{old.get('text')} -> {new.get('text')}"]


class Connection:
    name = "connection"
    versioned = False

    def parse(self, body, *, files):
        return Parsed(spec=dict(body))

    def check(self, spec, *, resolved):
        return []

    def diff(self, old, new):
        return []


KINDS = {
    "prompt": Note("prompt"),
    "model": Note("model"),
    "chain": Note("chain"),
    "dataset": Note("dataset"),
    "connection": Connection(),
}

HANDBOOK = """\
kind: chain
name: handbook
uses: [prompt/answer, model/local]
---
kind: prompt
name: answer
text: Answer from the context only.
---
kind: model
name: local
text: test
"""


def documents_of(text, path="tidemill/handbook.yaml"):
    return load_documents(text, path=path)


def files_of(blobs: Blobs, **content: bytes):
    return FilesFolder({name.replace("__", "/"): each for name, each in content.items()}, blobs)


def plan(database, blobs, text, *, project="p", environment="local", files=None):
    documents = documents_of(text)
    return database.read_sync(
        lambda db: make_plan(
            db,
            project=project,
            files=files or FilesFolder({}, blobs),
            documents=documents,
            kinds=KINDS,
            environment=environment,
        )
    )


def apply(database, blobs, text, *, project="p", files=None, now_ns=1):
    documents = documents_of(text)
    return database.write_sync(
        lambda db: apply_plan(
            db,
            project=project,
            files=files or FilesFolder({}, blobs),
            documents=documents,
            kinds=KINDS,
            environment="local",
            by="ann",
            now_ns=now_ns,
        )
    )
