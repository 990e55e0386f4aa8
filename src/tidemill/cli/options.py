"""The options that every command has, and the client that they lead to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from tidemill.client import AsyncClient


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Where to look, and how to answer."""

    json: bool = False
    """Print one JSON document (JSON lines where the answer streams)."""

    project: Annotated[str | None, Parameter(name="--project")] = None
    """The project, else TIDEMILL_PROJECT, else the one in tidemill.toml."""

    data: Annotated[Path | None, Parameter(name="--data-folder")] = None
    """The data folder, else TIDEMILL_DATA, else .tidemill beside tidemill.toml."""


DEFAULTS = Options()


def open_client(options: Options) -> AsyncClient:
    """The client for these options, to be used in `async with`."""
    import logging
    import os

    from tidemill.client import AsyncClient

    if not os.environ.get("TIDEMILL_DEBUG"):
        logging.getLogger().addHandler(logging.NullHandler())  # errors are reported once, in words
    return AsyncClient(project=options.project, data=options.data)
