"""What `tidemill up` says when it is ready, and what is looked at before it begins."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, dump_json
from tidemill.store import sessions
from tidemill.version import __version__

if TYPE_CHECKING:  # the process that only watches others needs none of it
    from tidemill.api.platform import Platform

_ONCE = "        works once, for 15 minutes; for another: tidemill login"
_MOST_WORKERS = 256


def check_flags(*ports: tuple[str, int], workers: int) -> None:
    """Raise `Invalid` for a port that is none, or a number of workers that cannot be."""
    if not 1 <= workers <= _MOST_WORKERS:
        raise Invalid(f"--workers {workers} cannot be", hint=f"Use 1 to {_MOST_WORKERS}.")
    for name, port in ports:
        if not 0 <= port <= 65535:
            raise Invalid(f"{name} {port} is not a port", hint="Ports are 0 to 65535.")


def url_of(host: str, port: int) -> str:
    """Where clients reach the server."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def login_link(platform: Platform, url: str) -> str:
    """Where the admin logs in, once and soon."""
    now_ns = platform.entry.now_ns()
    code, _ = await platform.database.write(lambda db: sessions.make_link(db, "admin", now_ns=now_ns, by="admin"))
    return f"{url}/login?code={code}"


def announce(
    url: str, token_file: Path, link: str, *, otlp_grpc: str | None, json: bool, open_browser: bool, workers: int = 1
) -> None:
    """Say where the server is and how to log in; `workers` beyond one are told of."""
    if json:
        line: dict[str, Json] = {
            "event": "ready",
            "url": url,
            "token_file": str(token_file),
            "otlp_grpc": otlp_grpc,
            "pid": os.getpid(),
            "workers": workers,
            "version": __version__,
        }
        text = dump_json(line).decode()
    else:
        spans = (f"Traces  {url}/v1/traces" + (f", gRPC {otlp_grpc}" if otlp_grpc else ""),)
        more = (f"Workers {workers}; kill -HUP {os.getpid()} replaces them one by one",) if workers > 1 else ()
        lines = (f"Tidemill {__version__} at {url}", f"Log in  {link}", _ONCE, *spans, *more, "Stop    Ctrl-C")
        text = "\n".join(lines)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    if open_browser and link and sys.stdout.isatty():
        webbrowser.open(link)
