"""What the tests of this room share: files in memory, and where the real data is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Invalid
from tidemill.core.suggest import did_you_mean


class MemoryFiles:
    """A project folder and a blob store, in memory."""

    def __init__(self, files: dict[str, bytes | str]) -> None:
        self.files = {path: content.encode() if isinstance(content, str) else content for path, content in files.items()}
        self.blobs: dict[str, bytes] = {}

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise Invalid(f"there is no file {path!r}", hint=did_you_mean(path, self.files))
        return self.files[path]

    def list(self, folder: str) -> list[str]:
        found = sorted(path for path in self.files if folder == "." or path.startswith(f"{folder}/"))
        if not found and folder != "empty":
            raise Invalid(f"there is no folder {folder!r}")
        return found

    def put_blob(self, content: bytes) -> str:
        digest = digest_bytes(content)
        self.blobs[digest] = content
        return digest

    def has_blob(self, digest: str) -> bool:
        return digest in self.blobs

    def get(self, digest: str) -> bytes:
        return self.blobs[digest]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def memory_files() -> type[MemoryFiles]:
    return MemoryFiles


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real public data, read-only."""
    named = os.environ.get("TIDEMILL_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the shared data is not at {folder}; set TIDEMILL_SHARED_DATA")
    return folder
