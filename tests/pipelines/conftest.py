from __future__ import annotations

import sys

import pytest

from pipelines.building import open_house


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def code(tmp_path, monkeypatch):
    """Write a module of the project."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    written = []

    def write(name, source):
        (folder / f"{name}.py").write_text(source)
        written.append(name)

    yield write
    for name in written:
        sys.modules.pop(name, None)


@pytest.fixture
async def house(tmp_path, anyio_backend):
    async with open_house(tmp_path) as opened:
        yield opened
