"""Whether the terminal that a server was started from is still there: SIGHUP comes when it is closed, too."""

from __future__ import annotations

import os

_TERMINAL = "/dev/tty"


def has_terminal() -> bool:
    """Whether this process has a terminal now."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def has_hung_up(had_terminal: bool) -> bool:  # noqa: FBT001  (what `has_terminal` said at the start)
    """Whether a terminal that was there has gone."""
    return had_terminal and not has_terminal()
