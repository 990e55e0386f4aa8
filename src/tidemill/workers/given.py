"""What the processes of a server are told when they are started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from tidemill.core.settings import Settings, load_settings


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `tidemill up`. Settings are read anew by each process, so that one started later has those of then."""

    start: str
    host: str
    port: int
    data: str | None = None
    project: str | None = None
    otlp_grpc_port: int | None = None
    workers: int
    open_browser: bool = False
    json: bool = False
    log_format: str | None = None
    log_level: str | None = None

    def settings(self) -> Settings:
        """The settings as of now. Raises `Invalid`."""
        found = load_settings(Path(self.start), data=None if self.data is None else Path(self.data), project=self.project)
        return replace(found, log_format=self.log_format or found.log_format, log_level=self.log_level or found.log_level)


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """What one of them is: `number` 0 is the keeper. The rest are descriptors, the keeper's address and the server's own."""

    number: int
    parent: int
    link: int
    listener: int
    counts: int
    keeper: str
    url: str
    given: Given

    @property
    def name(self) -> str:
        """As it is logged."""
        return f"worker-{self.number}" if self.number else "keeper"


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says once it serves: the keeper with a link to log in and where it takes OTLP over gRPC."""

    link: str = ""
    otlp_grpc: str | None = None


READY: Final = "ready"
FAILED: Final = "failed"
GO: Final = "go"
STOP: Final = "stop"
RETIRE: Final = "retire"
OTHERS: Final = "others"
SYNC: Final = "sync"
TURN: Final = "turn"
USAGE: Final = "usage"
FIGURES: Final = "figures"
