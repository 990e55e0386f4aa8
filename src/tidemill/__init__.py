"""Tidemill: operate generative-AI applications under one digest for the whole application.

Public names are loaded on first use, so that `import tidemill` stays cheap.
"""

from typing import TYPE_CHECKING

from tidemill.version import __version__

if TYPE_CHECKING:
    from tidemill.client import AsyncClient, Client
    from tidemill.telemetry.instrument import connect, session, trace

__all__ = ["AsyncClient", "Client", "__version__", "connect", "session", "trace"]


def __getattr__(name: str) -> object:
    if name in {"Client", "AsyncClient"}:
        from tidemill import client  # noqa: PLC0415  (kept off the import path of `import tidemill`)

        return getattr(client, name)
    if name in {"trace", "session", "connect"}:
        from tidemill.telemetry import instrument  # noqa: PLC0415  (the same)

        return getattr(instrument, name)
    raise AttributeError(f"module 'tidemill' has no attribute {name!r}")
