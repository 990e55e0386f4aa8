"""Upload of content by digest, so that what the server already has is never sent again."""

from __future__ import annotations

import anyio.to_thread
from fastapi import APIRouter, Request, Response

from tidemill.api.caller import AnyCaller, Body
from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Invalid

router = APIRouter(tags=["blobs"])
LARGEST = 512 * 1024 * 1024


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
    """Store a blob; the body must have the digest that the path names."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > LARGEST:
            raise Invalid(
                f"the blob is larger than {LARGEST >> 20} MiB", hint="Split it, or index it from a folder of smaller files."
            )
    found = digest_bytes(bytes(content))
    if found != digest:
        raise Invalid(f"the content has the digest {found}, not {digest}", hint="Send the bytes unchanged.")
    await anyio.to_thread.run_sync(call.platform.blobs(call.project).put, bytes(content))
    return Response(status_code=204)
