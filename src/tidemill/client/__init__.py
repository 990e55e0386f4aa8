"""The SDK: `Client` and `AsyncClient`, over HTTP to a running server or over the same application in-process.

What lives here: finding the server, collecting a project's files, and one method a use case. No rendering, no rules.
"""

from tidemill.client.api import AsyncClient
from tidemill.client.collect import Collected, collect
from tidemill.client.sync import Client

__all__ = ["AsyncClient", "Client", "Collected", "collect"]
