"""The SDK: `Client` and `AsyncClient`, over HTTP to a running server or over the same application in-process.

What lives here: finding the server, collecting a project's files, and one method a use case. No rendering, no rules.
Names are loaded on first use, so that a command's help does not wait for an HTTP library.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.client.api import AsyncClient
    from tidemill.client.files import Collected, collect
    from tidemill.client.sync import Client

__all__ = ["AsyncClient", "Client", "Collected", "collect"]
_HOMES = {"AsyncClient": "api", "Client": "sync", "Collected": "files", "collect": "files"}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        from importlib import import_module  # noqa: PLC0415  (only on first use)

        return getattr(import_module(f"tidemill.client.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tidemill.client' has no attribute {name!r}")
