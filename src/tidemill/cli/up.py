"""`tidemill up`: the whole platform behind one command."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from tidemill.core.settings import Settings, load_settings

if TYPE_CHECKING:
    from tidemill.workers.given import Given


def up(  # noqa: PLR0913  (an option each)
    *,
    host: str = "127.0.0.1",
    port: int = 8710,
    data: Path | None = None,
    otlp_grpc_port: int | None = None,
    workers: int = 1,
    no_open: bool = False,
    project: str | None = None,
    log_format: Literal["text", "json"] | None = None,
    log_level: Literal["debug", "info", "warning", "error"] | None = None,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Run the server until it is told to stop (Ctrl-C or SIGTERM); what is in flight is finished first.

    :param host: The address to listen on. Anything but loopback lets others reach it.
    :param port: The port; 0 picks a free one.
    :param data: The data folder, else TIDEMILL_DATA, else .tidemill beside tidemill.toml.
    :param otlp_grpc_port: The port for OTLP over gRPC; 0 picks a free one. Default: 4317, or none when it is taken.
    :param workers: Processes that answer /v1; beyond one, another one owns all the rest, and SIGHUP replaces them one by one.
    :param no_open: Do not open the web page. It is opened only from a terminal.
    :param project: The project, else TIDEMILL_PROJECT, else the one in tidemill.toml.
    :param log_format: Lines for a person, or JSON lines, on standard error; else TIDEMILL_LOG_FORMAT, else text.
    :param log_level: What is written; info has a line for each request. Else TIDEMILL_LOG_LEVEL, else warning.
    :param json: Print one JSON line when it is ready.
    """
    if workers != 1:
        from tidemill.workers.given import Given

        given = Given(
            start=str(Path.cwd()), host=host, port=port, data=None if data is None else str(data), project=project,
            otlp_grpc_port=otlp_grpc_port, workers=workers, open_browser=not no_open, json=json, log_format=log_format,
            log_level=log_level,
        )  # fmt: skip
        _run(partial(_several, given))
        return
    settings = load_settings(Path.cwd(), data=data, project=project)
    settings = replace(settings, log_format=log_format or settings.log_format, log_level=log_level or settings.log_level)
    alone = partial(_alone, settings, host=host, port=port, otlp_grpc_port=otlp_grpc_port, open_browser=not no_open, json=json)
    _run(alone)


def _run(work: Callable[[], Awaitable[None]]) -> None:
    import anyio

    anyio.run(work, backend_options={"use_uvloop": sys.platform != "win32"})  # the quicker loop has no build for Windows


async def _several(given: Given) -> None:
    """Processes that answer, and one that owns what there is only one of."""
    from tidemill.workers.supervise import supervise

    await supervise(given)


async def _alone(
    settings: Settings, *, host: str, port: int, otlp_grpc_port: int | None, open_browser: bool, json: bool
) -> None:
    """One process for everything."""
    from tidemill.app import serve

    await serve(settings, host=host, port=port, otlp_grpc_port=otlp_grpc_port, open_browser=open_browser, json=json)


COMMAND = up
