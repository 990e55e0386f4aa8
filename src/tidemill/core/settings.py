"""Settings of a process: from the command line, then the environment, then `tidemill.toml`, then the default."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from tidemill.core.database_url import has_password, read_database_url
from tidemill.core.durations import parse_duration
from tidemill.core.errors import Invalid
from tidemill.core.gateway import Gateway, read_gateway
from tidemill.core.limits import Limits, read_limits
from tidemill.core.refs import check_name
from tidemill.core.suggest import did_you_mean

PROJECT_FILE = "tidemill.toml"
DATA_FOLDER = ".tidemill"
_KNOWN = ("project", "environment", "paths", "data", "limits", "database", "blobs", "retention", "gateway")
_RETENTION = "30d"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What every client and the server need to know before they start.

    `root` is the project folder (where `tidemill.toml` is, else the working directory); `data` the data folder;
    `paths` the folders and files with specs, relative to `root`; `url` the server to talk to, when one is named.
    `database` is where the metadata is, as written (a URL, `env:NAME` or `file:PATH`; see `database_url`), None for SQLite in
    the data folder; `blobs` the folder of the blobs, None for the one in the data folder; `retention` for how many seconds what
    is deleted can be restored. `log_format` (text, json) and `log_level` say what a server writes to standard error,
    `own_spans` (off, slow, all) which of its own requests it records. `gateway` bounds calls of models.
    """

    root: Path
    data: Path
    project: str = "default"
    environment: str = "local"
    paths: tuple[str, ...] = ("tidemill",)
    url: str | None = None
    token: str | None = None
    limits: Limits = field(default_factory=Limits)
    database: str | None = field(default=None, repr=False)
    database_where: str = ""
    blobs: Path | None = None
    retention: float = 30 * 86400.0
    log_format: str = "text"
    log_level: str = "warning"
    own_spans: str = "slow"
    gateway: Gateway = field(default_factory=Gateway)

    def database_url(self) -> str | None:
        """The URL of the PostgreSQL database, None for SQLite. Raises `Invalid` or `NotFound`, and never shows what it read."""
        return None if self.database is None else read_database_url(self.database, where=self.database_where)


def find_root(start: Path) -> Path:
    """The nearest folder at or above `start` that holds `tidemill.toml`, else `start`."""
    for folder in (start, *start.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    return start


def load_settings(
    start: Path, environ: Mapping[str, str] | None = None, *, data: Path | None = None, project: str | None = None
) -> Settings:
    """Read `tidemill.toml` and the environment.

    The variables are `TIDEMILL_URL`, `_TOKEN`, `_PROJECT`, `_DATA`, `_ENVIRONMENT`, `_DATABASE`, `_BLOBS`,
    `_RETENTION`, `_LOG_FORMAT`, `_LOG_LEVEL`, `_OWN_SPANS` and `_COUNTERS`.
    Raises `Invalid` for a file that is not TOML, an unknown key or a wrong type.
    """
    env = os.environ if environ is None else environ
    root = find_root(start.resolve())
    file = _read_project_file(root / PROJECT_FILE)
    folder = data or Path(env.get("TIDEMILL_DATA") or root / str(file.get("data", DATA_FOLDER)))
    blobs = env.get("TIDEMILL_BLOBS") or (root / str(file["blobs"]) if "blobs" in file else None)
    return Settings(
        root=root,
        data=folder if folder.is_absolute() else (start / folder).resolve(),
        project=check_name(project or env.get("TIDEMILL_PROJECT") or str(file.get("project", "default")), what="project"),
        environment=env.get("TIDEMILL_ENVIRONMENT") or str(file.get("environment", "local")),
        paths=_paths(file.get("paths", "tidemill")),
        url=env.get("TIDEMILL_URL") or None,
        token=env.get("TIDEMILL_TOKEN") or None,
        database=env.get("TIDEMILL_DATABASE") or _database(file, where=str(root / PROJECT_FILE)),
        database_where="TIDEMILL_DATABASE" if env.get("TIDEMILL_DATABASE") else str(root / PROJECT_FILE),
        blobs=None if blobs is None else (start / blobs).resolve(),
        limits=read_limits(file.get("limits"), where=str(root / PROJECT_FILE)),
        retention=parse_duration(env.get("TIDEMILL_RETENTION") or file.get("retention", _RETENTION), what="retention"),
        log_format=env.get("TIDEMILL_LOG_FORMAT") or "text",
        log_level=env.get("TIDEMILL_LOG_LEVEL") or "warning",
        own_spans=_own_spans(env.get("TIDEMILL_OWN_SPANS") or "slow"),
        gateway=read_gateway(
            file.get("gateway"), counters=env.get("TIDEMILL_COUNTERS") or None, where=str(root / PROJECT_FILE)
        ),
    )


def _own_spans(value: str) -> str:
    if value not in {"off", "slow", "all"}:
        raise Invalid(f"TIDEMILL_OWN_SPANS={value} is not known", hint="It is off, slow or all.")
    return value


def _read_project_file(path: Path) -> dict[str, object]:
    try:
        file: dict[str, object] = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"not valid TOML: {error}", where=str(path)) from error
    for key in file:
        if key not in _KNOWN:
            raise Invalid(f"unknown key {key!r}", where=str(path), hint=did_you_mean(key, _KNOWN))
    return file


def _database(file: Mapping[str, object], *, where: str) -> str | None:
    written = str(file.get("database", ""))
    if has_password(written):
        hint = 'Keep it outside: database = "env:VARIABLE", or ~/.pgpass, or set TIDEMILL_DATABASE.'
        raise Invalid("database carries a password, and this file is one that is shared", where=where, hint=hint)
    return written or None


def _paths(value: object) -> tuple[str, ...]:
    return tuple(map(str, cast("list[object]", value))) if isinstance(value, list) else (str(value),)
