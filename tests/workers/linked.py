"""Two ends of a link in one process."""

from __future__ import annotations

import socket

from tidemill.workers.link import Link


async def linked(answer, *, on_lost=lambda: None, back=lambda _what, _body: b""):
    """The end that asks, and the one that answers."""
    one, other = socket.socketpair()
    asking = await Link.over(one, answer=back, on_lost=on_lost)
    answering = await Link.over(other, answer=answer, on_lost=on_lost)
    return asking, answering
