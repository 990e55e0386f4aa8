"""An upstream that never comes to an end."""

from __future__ import annotations

import asyncio

from serve.platform import whole_body


class Endless:
    """An upstream that begins and never ends; it says when its caller has gone."""

    def __init__(self):
        self.began = asyncio.Event()
        self.gone = asyncio.Event()

    async def __call__(self, scope, receive, send):
        body = await whole_body(receive)
        if b'"stream":true' in body.replace(b" ", b""):
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
            piece = b'data: {"choices": [{"index": 0, "text": "drip ", "delta": {"content": "drip "}}]}\n\n'
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        self.began.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()
