"""Which server to talk to: the one that is named, the one that holds the data folder, or none (then in-process)."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx

from tidemill.core.errors import Unavailable
from tidemill.core.served import is_loopback, read_token, served_url
from tidemill.core.settings import Settings

_SILENT, _BUSY, _BETWEEN = 2.0, 10.0, 0.1  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where the API is; `url` None means in this process."""

    url: str | None
    token: str | None


async def locate(settings: Settings) -> Target:
    """Find the server. Raises `Unavailable` when the data folder is held by one that does not answer.

    A holder that says nowhere where it listens is another command, or a server that is just starting: it is given two seconds,
    a server that may be busy ten.
    """
    if settings.url:
        return Target(url=settings.url.rstrip("/"), token=settings.token or _token_for(settings.url, settings.data))
    url, began = None, anyio.current_time()
    while anyio.current_time() - began < (_SILENT if url is None else _BUSY):
        if not is_held(settings.data):
            return Target(url=None, token=None)
        url = served_url(settings.data)
        if url is not None and await _answers(url):
            return Target(url=url, token=settings.token or read_token(settings.data))
        await anyio.sleep(_BETWEEN)
    holder = f"by a server at {url} that does not answer" if url else "by another process"
    raise Unavailable(
        f"the data folder is held {holder}",
        where=str(settings.data),
        hint="Wait for it or stop it, or name another folder with TIDEMILL_DATA.",
    )


def is_held(data: Path) -> bool:
    """Whether a process holds the data folder's lock."""
    try:
        descriptor = os.open(data / "lock", os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _token_for(url: str, data: Path) -> str | None:
    """The token file belongs to this machine only: it is never sent anywhere else."""
    return read_token(data) if is_loopback(url) else None


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient(timeout=2.0, trust_env=False) as http:
            return (await http.get(f"{url}/healthz")).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
