"""Setting up the sending of spans: where to, by which token, under which name."""

from __future__ import annotations

import atexit
import importlib.util
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemill.core.errors import Conflict, Invalid, MissingExtra
from tidemill.core.served import is_loopback, read_token, served_url
from tidemill.core.settings import Settings, load_settings

if TYPE_CHECKING:
    from tidemill.telemetry.instrument.sending import Sender

_DEFAULT_URL: Final = "http://127.0.0.1:8710"
_NEEDED: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.common")
_lock = threading.Lock()
_connections: dict[str, Connection] = {}


class Connection:
    """The sending of this process's spans to one server."""

    def __init__(self, sender: Sender, *, url: str, project: str) -> None:
        self._sender = sender
        self.url = url
        self.project = project

    @property
    def sent(self) -> int:
        """Spans that the server took, since the start of this process."""
        return self._sender.sent

    @property
    def dropped(self) -> int:
        """Spans that were lost, since the start of this process: the queue was full, or the server refused them."""
        return self._sender.dropped

    def flush(self, *, timeout: float = 10.0) -> bool:
        """Send what was made so far, for so many seconds at most; whether all of it was sent. Never raises."""
        return self._sender.force_flush(int(timeout * 1000))


def connect(
    *, url: str | None = None, token: str | None = None, project: str | None = None, service: str | None = None
) -> Connection:
    """Send the spans of this process to a Tidemill server, from now on and in the background; what is queued is sent at exit.

    `url` is that of the server, else TIDEMILL_URL, else the one that holds the data folder, else http://127.0.0.1:8710. `token`
    is a key or a token, else TIDEMILL_TOKEN, else the one in the data folder, which is sent to this machine only. `service`
    names the program, else OTEL_SERVICE_NAME, else its file's name. An SDK that is already set up is used, and what it does
    besides goes on. A second call for the same server changes nothing.

    The server need not be there: nothing of this delays the program or raises into it. Raises `MissingExtra` without the extra
    `tracing`, `Invalid` for a URL that is none, `Conflict` for a second server or project.
    """
    if any(_is_missing(each) for each in _NEEDED):
        raise MissingExtra("tracing", needed_for="sending spans")
    settings = load_settings(Path.cwd(), project=project)
    where = (url or settings.url or served_url(settings.data) or _DEFAULT_URL).rstrip("/")
    if not where.startswith(("http://", "https://")):
        raise Invalid(f"{where!r} is no address of a server", hint="It begins with http:// or https://.")
    with _lock:
        for made in _connections.values():
            if (made.url, made.project) != (where, settings.project):
                raise Conflict(
                    f"this process sends its spans to {made.url} (project {made.project}) already",
                    hint="Call tidemill.connect() once, at the start.",
                )
            return made
        made = Connection(_install(where, settings, token, service), url=where, project=settings.project)
        _connections[where] = made
        return made


def _is_missing(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:
        return True


def _install(url: str, settings: Settings, token: str | None, service: str | None) -> Sender:
    from opentelemetry import trace  # noqa: PLC0415  (with the SDK below)
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  (heavy, and of an extra)
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  (the same)

    from tidemill.telemetry.instrument.sending import Address, Sender  # noqa: PLC0415  (the same)

    def headers() -> Mapping[str, str]:
        found = token or settings.token or (read_token(settings.data) if is_loopback(url) else None)
        return {"x-tidemill-project": settings.project, **({"authorization": f"Bearer {found}"} if found else {})}

    sender = Sender(Address(f"{url}/v1/traces", headers))
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        name = service or os.environ.get("OTEL_SERVICE_NAME") or _program()
        provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
        trace.set_tracer_provider(provider)
    provider.add_span_processor(sender)
    atexit.register(sender.shutdown)
    return sender


def _program() -> str:
    name = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] not in {"", "-c", "-m"} else ""
    return name if name and name != "__main__" else Path.cwd().name or "python"
