"""Which database holds the metadata: a URL, or where one is kept. A password belongs in no shared file, and in no message."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tidemill.core.errors import Invalid, NotFound

_SCHEMES: Final = ("postgresql", "postgres")
_HINT: Final = "Write postgresql://USER@HOST/NAME, env:VARIABLE or file:PATH; without one, SQLite in the data folder is used."


def read_database_url(written: str, *, where: str, environ: Mapping[str, str] | None = None) -> str:
    """The URL that is written, or that the variable or file holds that is named. `where` says where it was written.

    Raises `Invalid` for what is none, without repeating it, and `NotFound` for a variable or file that is not there.
    """
    env = os.environ if environ is None else environ
    kind, _, name = written.partition(":")
    if kind == "env":
        written, where = env.get(name, ""), f"the variable {name}"
        if not written:
            raise NotFound(f"{where} names no database", hint=f"Set it: export {name}=postgresql://USER@HOST/NAME")
    elif kind == "file" and not name.startswith("//"):
        where = name
        try:
            written = Path(name).expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise NotFound(f"the database's URL cannot be read: {type(error).__name__}", where=name) from error
    check_database_url(written, where=where)
    return written


def check_database_url(url: str, *, where: str) -> None:
    """Raise `Invalid` when it is not the URL of a PostgreSQL database."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in _SCHEMES and "://" in url and len(parts.path) > 1 and (parts.port is None or parts.port > 0)
    except ValueError:
        is_one = False
    if not is_one:
        raise Invalid("that is not the URL of a database", where=where, hint=_HINT)


def has_password(url: str) -> bool:
    """Whether a URL carries its password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.password) or "password=" in parts.query
