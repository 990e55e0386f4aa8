# Made by scripts/sync_client.py from src/tidemill/client/traces_import.py; change that file and run the script.
"""Traces out of files, as a call."""

from __future__ import annotations

from pathlib import Path

from tidemill.client.sync.waiting import Waiting
from tidemill.client.traces_import import TracesImportedJson


class TraceImportCalls(Waiting):
    """Calls that take in traces."""

    def import_traces(self, file: Path, *, format: str = "") -> TracesImportedJson:  # noqa: A002  (the API's name)
        """Take the traces of a file: OTLP, or another platform's export; `.gz` and `.zst` are unpacked.

        The same file again changes nothing. OTLP as JSON lines may be of any size, and is sent in parts. Raises `Invalid` for
        a file that cannot be read.
        """
        return self._wait(lambda: self._client.import_traces(file, format=format))
