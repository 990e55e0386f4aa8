from __future__ import annotations

import pytest

from tidemill.store.blobs import Blobs
from tidemill.store.database import Database


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def database(tmp_path):
    database = Database.open(tmp_path / "meta.db")
    yield database
    database.close()


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "blobs", "p")
