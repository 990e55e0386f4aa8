"""Settings of a process: from the command line, then the environment, then `tidemill.toml`, then the default."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from tidemill.core.errors import Invalid
from tidemill.core.limits import Limits, read_limits
from tidemill.core.refs import check_name
from tidemill.core.suggest import did_you_mean

PROJECT_FILE = "tidemill.toml"
DATA_FOLDER = ".tidemill"
_KNOWN = ("project", "environment", "paths", "data", "limits")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What every client and the server need to know before they start.

    `root` is the project folder (where `tidemill.toml` is, else the working directory); `data` the data folder;
    `paths` the folders and files with specs, relative to `root`; `url` the server to talk to, when one is named.
    """

    root: Path
    data: Path
    project: str = "default"
    environment: str = "local"
    paths: tuple[str, ...] = ("tidemill",)
    url: str | None = None
    token: str | None = None
    limits: Limits = field(default_factory=Limits)


def find_root(start: Path) -> Path:
    """The nearest folder at or above `start` that holds `tidemill.toml`, else `start`."""
    for folder in (start, *start.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    return start


def load_settings(
    start: Path, environ: Mapping[str, str] | None = None, *, data: Path | None = None, project: str | None = None
) -> Settings:
    """Read `tidemill.toml` and the environment (`TIDEMILL_URL`, `_TOKEN`, `_PROJECT`, `_DATA`, `_ENVIRONMENT`).

    Raises `Invalid` for a file that is not TOML, an unknown key or a wrong type.
    """
    env = os.environ if environ is None else environ
    root = find_root(start.resolve())
    file = _read_project_file(root / PROJECT_FILE)
    folder = data or Path(env.get("TIDEMILL_DATA") or root / str(file.get("data", DATA_FOLDER)))
    return Settings(
        root=root,
        data=folder if folder.is_absolute() else (start / folder).resolve(),
        project=check_name(project or env.get("TIDEMILL_PROJECT") or str(file.get("project", "default")), what="project"),
        environment=env.get("TIDEMILL_ENVIRONMENT") or str(file.get("environment", "local")),
        paths=_paths(file.get("paths", "tidemill")),
        url=env.get("TIDEMILL_URL") or None,
        token=env.get("TIDEMILL_TOKEN") or None,
        limits=read_limits(file.get("limits"), where=str(root / PROJECT_FILE)),
    )


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


def _paths(value: object) -> tuple[str, ...]:
    return tuple(map(str, cast("list[object]", value))) if isinstance(value, list) else (str(value),)
