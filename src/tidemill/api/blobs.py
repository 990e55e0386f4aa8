"""Upload of content by digest, so that what the server already has is never sent again."""

from __future__ import annotations

import contextlib

import anyio.to_thread
from fastapi import Request, Response

from tidemill.api.caller import AnyCaller, Body
from tidemill.api.router import Router
from tidemill.core.errors import Invalid

router = Router(tags=["blobs"])
LARGEST = 64 * 1024**3
_AT_ONCE = 4 * 1024 * 1024


class Digests(Body):
    """Digests that the client could send."""

    digests: list[str]


@router.post("/blobs:missing")
async def missing_blobs(call: AnyCaller, body: Digests) -> dict[str, list[str]]:
    """Which of these blobs the server does not have."""
    blobs = call.platform.blobs(call.project)
    return {"missing": await anyio.to_thread.run_sync(blobs.missing, body.digests)}


@router.put("/blobs/{digest}", status_code=204)
async def put_blob(call: AnyCaller, digest: str, request: Request) -> Response:
    """Store a blob as it arrives; the body must have the digest that the path names, or nothing is kept."""
    blobs = call.platform.blobs(call.project)
    kept = await anyio.to_thread.run_sync(blobs.has, digest)
    with contextlib.ExitStack() as stack:
        take = _ignore if kept else stack.enter_context(blobs.receiving(digest))
        size, waiting = 0, bytearray()
        async for piece in request.stream():
            size += len(piece)
            waiting += piece
            if size > LARGEST:
                raise Invalid(f"the blob is larger than {LARGEST >> 30} GiB", hint="Split it.")
            if len(waiting) >= _AT_ONCE:
                await anyio.to_thread.run_sync(take, bytes(waiting))
                waiting.clear()
        take(bytes(waiting))
    return Response(status_code=204)


def _ignore(piece: bytes) -> None:
    """What is kept already is not written again."""
