"""The data folder: one holder at a time, a format that is not from the future, and where each part lives in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import orjson

from tidemill.core.errors import Conflict, Invalid
from tidemill.core.json import dump_json
from tidemill.store.access import hash_token, new_admin_token
from tidemill.store.disk import disk_errors, write_whole

FORMAT = 1
_POLL_SECONDS = 0.05
_BRIEFLY_SECONDS = 0.2  # `is_held` takes the lock for a moment


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerFile:
    """Who serves a data folder."""

    pid: int
    url: str


class DataFolder:
    """An open, locked data folder. The lock goes with the process, however it ends."""

    def __init__(self, root: Path, lock: int | None) -> None:
        self.root = root
        self.database = root / "meta.db"
        self.jobs_database = root / "jobs.db"
        self.blobs = root / "blobs"
        self.spool = root / "spool"
        self.spans = root / "spans"
        self.token_file = root / "token"
        self._lock: int | None = lock

    @classmethod
    def open(cls, path: Path, *, wait: float = 0.0) -> Self:
        """Make the folder when there is none, and lock it; another holder gets `wait` seconds to let go of it.

        Raises `Conflict` when it is held (naming the holder's pid and URL) or was made by a newer Tidemill.
        """
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take(lock, path, wait=wait)
            _check_format(path)
            with disk_errors(path / "lock"):
                os.ftruncate(lock, 0)
                os.pwrite(lock, str(os.getpid()).encode(), 0)
        except BaseException:
            os.close(lock)
            raise
        return cls(path, lock)

    @classmethod
    def beside(cls, path: Path) -> Self:
        """For a process that was started by the one which holds the folder, and ends before it."""
        return cls(path, None)

    @property
    def lock(self) -> int:
        """The descriptor that holds the folder; a process that inherits it holds it as well."""
        assert self._lock is not None
        return self._lock

    def write_server_file(self, url: str) -> None:
        """Tell clients where the server of this folder is."""
        write_whole(self.root / "server.json", dump_json({"pid": os.getpid(), "url": url}) + b"\n")

    def remove_server_file(self) -> None:
        """Tell clients that no server runs."""
        (self.root / "server.json").unlink(missing_ok=True)

    def admin_token(self) -> tuple[str, bool]:
        """The admin token, made at the first start (mode 0600); whether it was made now."""
        token = read_token_file(self.root)
        if token is not None:
            return token, False
        made = new_admin_token()
        write_whole(self.token_file, f"{made}\n".encode(), mode=0o600)
        return made, True

    def admin_token_hash(self) -> str:
        """What `access.authenticate` compares with."""
        return hash_token(self.admin_token()[0])

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_server_file(path: Path) -> ServerFile | None:
    """Who says to serve the data folder `path`, or None; a file left by a kill may name a process that is gone."""
    try:
        content = orjson.loads((path / "server.json").read_bytes())
        return ServerFile(pid=int(content["pid"]), url=str(content["url"]))
    except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None


def read_token_file(path: Path) -> str | None:
    """The admin token of the data folder `path`, or None when there is none."""
    try:
        return (path / "token").read_text("utf-8").strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_held(path: Path) -> bool:
    """Whether a process holds the data folder `path` now."""
    try:
        lock = os.open(path / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _take(lock: int, path: Path, *, wait: float) -> None:
    until = time.monotonic() + max(wait, _BRIEFLY_SECONDS)
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() >= until:
            raise _held(path)
        time.sleep(_POLL_SECONDS)


def _held(path: Path) -> Conflict:
    server = read_server_file(path)
    pid = (path / "lock").read_text("utf-8", "replace").strip() or "another one"
    if server is not None and str(server.pid) == pid:
        return Conflict(
            f"the data folder is held by process {pid}, which serves {server.url}",
            where=str(path),
            hint="Use that server, stop it, or name another folder with --data.",
        )
    return Conflict(f"the data folder is held by process {pid}", where=str(path), hint="Wait for it to finish, or stop it.")


def _check_format(path: Path) -> None:
    marker = path / "format"
    try:
        text = marker.read_text("utf-8").strip()
    except FileNotFoundError:
        write_whole(marker, f"{FORMAT}\n".encode())
        return
    if not text.isdecimal():
        raise Invalid(f"{text[:40]!r} is not a data folder's format", where=str(marker), hint="Restore it from a copy.")
    if int(text) > FORMAT:
        raise Conflict(
            f"the data folder has format {text}, made by a newer Tidemill; this one knows up to {FORMAT}",
            where=str(path),
            hint="Use the newer Tidemill, or another folder with --data.",
        )
