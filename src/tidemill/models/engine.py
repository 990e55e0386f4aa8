"""The child process that runs a local model: `python -m tidemill.models.engine`.

It reads one line of JSON from standard input (`{"model", "key", "context", "slots"}`), serves OpenAI's dialect on loopback, and
writes one line of JSON to standard output: `{"url"}`, or `{"error"}` when it cannot start. It lives as long as standard input
stays open, so that it dies with its parent, however that ends.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import cast

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until standard input ends."""
    _die_with_parent()
    # What the engine prints goes to standard error; the answer line keeps standard output for itself.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    order = cast("dict[str, object]", json.loads(sys.stdin.readline() or "{}"))
    try:
        from tidemill.models.providers.llama import serve  # noqa: PLC0415  (loads the native engine: only in this process)

        url, server = serve(
            str(order["model"]), key=str(order["key"]), context=int(str(order["context"])), slots=int(str(order["slots"]))
        )
    except (ImportError, KeyError, OSError, RuntimeError, ValueError) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers, flush=True)
        return
    print(json.dumps({"url": url}), file=answers, flush=True)
    sys.stdin.read()
    del server
    # The engine's threads are not waited for: nothing here needs to be saved.
    os._exit(0)


def _die_with_parent() -> None:
    """Ask Linux for a kill when the parent goes; elsewhere the end of standard input has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
