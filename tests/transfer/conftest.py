"""Projects on the disk, and a client over the whole application in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tidemill.client import AsyncClient
from tidemill.core.settings import Settings

Opened = Callable[..., AsyncClient]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("TIDEMILL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's folder."""
    root = tmp_path / "project"
    (root / "tidemill").mkdir(parents=True)
    (root / "tidemill.toml").touch()
    return root


@pytest.fixture
def opened(folder: Path) -> Opened:
    """A client of a project, over one data folder."""

    def client(project: str = "default", *, root: Path = folder) -> AsyncClient:
        return AsyncClient(settings=Settings(root=root, data=folder / ".tidemill", project=project))

    return client
