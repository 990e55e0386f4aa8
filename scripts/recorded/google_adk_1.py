"""The same agents in Google's Agent Development Kit 1.x, which keeps requests and answers in attributes of its own."""

from __future__ import annotations

from recorded import google_adk

SCRIPT = google_adk.SCRIPT


def main() -> None:
    google_adk.main()
