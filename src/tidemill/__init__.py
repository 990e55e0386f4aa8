"""Tidemill: operate generative-AI applications under one digest for the whole application.

Public names are loaded on first use, so that `import tidemill` stays cheap.
"""

from typing import TYPE_CHECKING

from tidemill.version import __version__

if TYPE_CHECKING:
    from tidemill.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "__version__"]


def __getattr__(name: str) -> object:
    if name in {"Client", "AsyncClient"}:
        from tidemill import client  # noqa: PLC0415  (kept off the import path of `import tidemill`)

        return getattr(client, name)
    raise AttributeError(f"module 'tidemill' has no attribute {name!r}")
