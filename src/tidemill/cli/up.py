"""`tidemill up`: the whole platform behind one command."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tidemill.core.settings import load_settings


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
    import anyio

    loop = {"use_uvloop": sys.platform != "win32"}  # the quicker loop has no build for Windows
    if workers != 1:
        from tidemill.workers.given import Given
        from tidemill.workers.supervise import supervise

        given = Given(
            start=str(Path.cwd()), host=host, port=port, data=None if data is None else str(data), project=project,
            otlp_grpc_port=otlp_grpc_port, workers=workers, open_browser=not no_open, json=json, log_format=log_format,
            log_level=log_level,
        )  # fmt: skip
        anyio.run(supervise, given, backend_options=loop)
        return
    from tidemill.app import serve

    settings = load_settings(Path.cwd(), data=data, project=project)
    settings = replace(settings, log_format=log_format or settings.log_format, log_level=log_level or settings.log_level)

    async def run() -> None:
        await serve(settings, host=host, port=port, otlp_grpc_port=otlp_grpc_port, open_browser=not no_open, json=json)

    anyio.run(run, backend_options=loop)


COMMAND = up
