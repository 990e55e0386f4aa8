"""One server a module, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.processes import Server, Shell, served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("project")
    with served(folder) as running:
        yield running


@pytest.fixture
def shell(server: Server) -> Shell:
    return server.shell


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
