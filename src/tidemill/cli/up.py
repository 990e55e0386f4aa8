"""`tidemill up`: the whole platform behind one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tidemill.core.settings import load_settings


def up(
    *,
    host: str = "127.0.0.1",
    port: int = 8710,
    data: Path | None = None,
    otlp_grpc_port: int | None = None,
    workers: int = 1,
    no_open: bool = False,
    project: str | None = None,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> object:
    """Run the server until it is told to stop (Ctrl-C or SIGTERM); what is in flight is finished first.

    :param host: The address to listen on. Anything but loopback lets others reach it.
    :param port: The port; 0 picks a free one.
    :param data: The data folder, else TIDEMILL_DATA, else .tidemill beside tidemill.toml.
    :param otlp_grpc_port: The port for OTLP over gRPC; 0 picks a free one. Default: 4317, or none when it is taken.
    :param workers: Processes that serve endpoints; taken, but one serves for now.
    :param no_open: Do not open the web page. It is opened only from a terminal.
    :param project: The project, else TIDEMILL_PROJECT, else the one in tidemill.toml.
    :param json: Print one JSON line when it is ready.
    """
    from tidemill.app import serve

    settings = load_settings(Path.cwd(), data=data, project=project)
    return serve(
        settings,
        host=host,
        port=port,
        otlp_grpc_port=otlp_grpc_port,
        workers=workers,
        open_browser=not no_open,
        json=json,
    )


COMMAND = up
