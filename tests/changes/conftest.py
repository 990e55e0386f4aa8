"""A project folder, and the platform in this process."""

from __future__ import annotations

import os

import pytest

from tidemill.client import AsyncClient
from tidemill.core.settings import Settings


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    for name in [each for each in os.environ if each.startswith("TIDEMILL_")]:
        monkeypatch.delenv(name)
    return Settings(root=tmp_path, data=tmp_path / ".tidemill")


@pytest.fixture
def write(settings):
    """Write files of the project; `__` stands for a folder."""

    def work(text=None, **files):
        if text is not None:
            files["tidemill__app.yaml"] = text
        for name, content in files.items():
            stem, _, ending = name.rpartition("__")
            path = settings.root / stem.replace("__", "/") / ending.replace("_yaml", ".yaml").replace("_md", ".md")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    return work


@pytest.fixture
async def client(settings, anyio_backend):
    async with AsyncClient(settings=settings) as opened:
        yield opened
