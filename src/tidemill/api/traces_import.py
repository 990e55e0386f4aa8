"""Traces out of a file: OTLP (JSON lines, JSON, protobuf) or another platform's export."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Query, Request

from tidemill.api.caller import AnyCaller
from tidemill.api.router import Router
from tidemill.core.errors import Invalid, TooLarge
from tidemill.store import audit

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of one body, after it was unpacked."""
router = Router(tags=["traces"])


@router.post("/traces:import")
async def import_traces(
    call: AnyCaller,
    request: Request,
    name: Annotated[str, Query(max_length=300)] = "file",
    format: Annotated[str, Query(max_length=40)] = "",  # noqa: A002  (the option's name)
) -> dict[str, Any]:
    """Take the traces of the file that is the body. The same file again changes nothing; a damaged one is refused whole.

    `name` is the file's, for messages; `format` is found out unless it is given.
    """
    intake, project = call.platform.intake, call.project
    with intake.share(project) as share:
        body = bytearray()
        async for piece in request.stream():
            share.grow(len(piece))
            body += piece
            if len(body) > LARGEST:
                raise TooLarge(f"{name} is larger than {LARGEST:,} bytes", hint="Split it: a part of the traces in each file.")
        if not body:
            raise Invalid(f"{name} is empty", hint="Export the traces again; the file is the body.")
        taken = await intake.file(project, bytes(body), name=name, form=format)
    detail = {"file": name, "format": taken.form, "spans": taken.spans, "rejected": taken.rejected, "scores": taken.scores}
    now_ns = call.platform.clock.now_ns()
    await call.platform.database.write(
        lambda db: audit.append(
            db, project, who=call.who, action="traces.imported", target=f"project/{project}", detail=detail, now_ns=now_ns
        )
    )
    return {
        "format": taken.form, "spans": taken.spans, "rejected": taken.rejected, "scores": taken.scores,
        "message": taken.message,
    }  # fmt: skip
