"""OpenAI's client by Logfire's instrumentation."""

from __future__ import annotations

import os

from recorded import openai_app

SCRIPT = openai_app.SCRIPT


def main() -> None:
    os.environ["LOGFIRE_SEND_TO_LOGFIRE"] = "false"
    import logfire

    logfire.configure(send_to_logfire=False, console=False, service_name="logfire-app")
    logfire.instrument_openai()
    with logfire.span("answering {what}", what="mills", _tags=["demo"]):
        openai_app.run()
    logfire.force_flush()
