"""A secret key of each project, by which what is personal is hashed and payloads are encrypted; made at first use.

It is kept in the database, sealed (AES-256-GCM) under the platform's master key, so that servers that share a database agree.
The master key is `keys/master.key` in the data folder (mode 0600, part of a backup), or what `TIDEMILL_MASTER_KEY` says, as
`file:PATH` or as 64 hexadecimal digits: servers that share a database need the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import threading
from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, String, Table, insert, select

from tidemill.core.errors import Invalid, Unavailable
from tidemill.store.database import Database
from tidemill.store.disk import disk_errors, write_whole
from tidemill.store.encryption import decrypt, encrypt
from tidemill.store.tables import metadata

VARIABLE: Final = "TIDEMILL_MASTER_KEY"
_FILE: Final = Path("keys") / "master.key"
_SIZE: Final = 32
_MAKING: Final = threading.Lock()

project_keys = Table(
    "project_keys",
    metadata,
    Column("project", String, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # nonce, then the key encrypted
    Column("created_ns", BigInteger, nullable=False),
)


class ProjectKeys:
    """Gives each project's key. Call it on a worker thread: it may read the disk and the database, and write both once."""

    def __init__(self, database: Database, data: Path) -> None:
        self._database = database
        self._data = data
        self._known: dict[str, bytes] = {}

    def get(self, project: str, purpose: str) -> bytes:
        """32 bytes for one purpose; keys of different purposes tell nothing of each other.

        Raises `Unavailable` when the project's key was sealed under another master key.
        """
        key = self._known.get(project)
        if key is None:
            key = self._known[project] = self._load(project)
        return hmac.digest(key, purpose.encode(), hashlib.sha256)

    def _load(self, project: str) -> bytes:
        sealed = self._database.read_sync(lambda db: _find(db, project))
        if sealed is None:
            fresh = _seal(secrets.token_bytes(_SIZE), self._master(), project)
            sealed = self._database.write_sync(lambda db: _find(db, project) or _keep(db, project, fresh))
        return _unseal(sealed, self._master(), project)

    def _master(self) -> bytes:
        said = os.environ.get(VARIABLE, "")
        if said.startswith("file:"):
            return _read(Path(said.removeprefix("file:")))
        if said:
            return _parse(said, where=VARIABLE)
        path = self._data / _FILE
        with _MAKING:
            if not path.exists():
                with disk_errors(path):
                    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    made = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
                    write_whole(made, secrets.token_hex(_SIZE).encode(), mode=0o600)
                    with contextlib.suppress(FileExistsError):  # of several processes the first one's stays
                        os.link(made, path)
                    made.unlink()
        return _read(path)


def _seal(key: bytes, master: bytes, project: str) -> bytes:
    return encrypt(key, master, about=f"project key {project}")


def _unseal(sealed: bytes, master: bytes, project: str) -> bytes:
    try:
        return decrypt(sealed, master, about=f"project key {project}")
    except Unavailable as error:
        hint = f"Give every server that shares the database the same {VARIABLE}, or the same keys/master.key."
        raise Unavailable(f"the key of project {project} was sealed under another master key", hint=hint) from error


def _find(db: Connection, project: str) -> bytes | None:
    return db.execute(select(project_keys.c.sealed).filter_by(project=project)).scalar()


def _keep(db: Connection, project: str, sealed: bytes) -> bytes:
    db.execute(insert(project_keys).values(project=project, sealed=sealed, created_ns=0))
    return sealed


def _read(path: Path) -> bytes:
    with disk_errors(path):
        content = path.read_text("ascii", errors="replace")
        if path.stat().st_mode & 0o077:
            raise Invalid("others may read the master key", where=str(path), hint=f"Type: chmod 600 {path}")
    return _parse(content.strip(), where=str(path))


def _parse(text: str, *, where: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _SIZE:
        raise Invalid("a master key is 64 hexadecimal digits", where=where, hint="Make one: openssl rand -hex 32")
    return key
