"""`Client`: `AsyncClient` without `await`. All but `waiting` is made by scripts/sync_client.py; nothing else lives here."""

from tidemill.client.sync.client import Client

__all__ = ["Client"]
