"""Making versions, requests and project files for the tests of models."""

from __future__ import annotations

from dataclasses import dataclass, field

from tidemill.core.chat import ChatRequest
from tidemill.core.errors import Invalid
from tidemill.core.parts import Message
from tidemill.core.records import Version


@dataclass
class MemoryFiles:
    files: dict[str, bytes] = field(default_factory=dict)

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise Invalid(f"there is no file {path}")
        return self.files[path]

    def list(self, folder: str) -> list[str]:
        return sorted(each for each in self.files if each.startswith(f"{folder}/"))

    def put_blob(self, content: bytes) -> str:
        raise NotImplementedError

    def has_blob(self, digest: str) -> bool:
        return False


def version(kind: str = "model", name: str = "m", **spec) -> Version:
    return Version(project="p", kind=kind, name=name, number=1, digest=f"sha256:{'0' * 64}", spec=spec)


def ask(*texts: str, **fields) -> ChatRequest:
    return ChatRequest(model="", messages=tuple(Message.of("user", text) for text in texts), **fields)
