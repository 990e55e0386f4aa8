"""Saved queries: filters of traces under a name."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from pydantic import Field

from tidemill.api.caller import AnyCaller, Body, Limit, Page, page
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.store import saved_queries
from tidemill.store.saved_queries import SavedQuery
from tidemill.telemetry.expression import parse

router = Router(tags=["traces"])


class NewSavedQuery(Body):
    """A filter, and what it is for. Times in it such as `start > 2h` are counted back from when it is asked."""

    filter: str = Field(max_length=8000)
    description: str = Field("", max_length=2000)


def saved_json(found: SavedQuery) -> dict[str, Any]:
    """As everyone sees it."""
    return {
        "name": found.name,
        "filter": found.filter,
        "description": found.description,
        "by": found.created_by,
        "created": iso(found.created_ns),
        "changed": iso(found.changed_ns),
    }


@router.get("/saved-queries")
async def list_saved(call: AnyCaller, limit: Limit = 100, cursor: str | None = None) -> Page:
    """By name."""
    found = await call.platform.database.read(
        lambda db: saved_queries.list_saved_queries(db, call.project, limit=limit, cursor=cursor)
    )
    return page([saved_json(each) for each in found.items], found.next)


@router.get("/saved-queries/{name}")
async def get_saved(call: AnyCaller, name: str) -> dict[str, Any]:
    """One of them."""
    return saved_json(await call.platform.database.read(lambda db: saved_queries.get_saved_query(db, call.project, name)))


@router.put("/saved-queries/{name}")
async def put_saved(call: AnyCaller, name: str, body: NewSavedQuery, response: Response) -> dict[str, Any]:
    """Keep a filter under a name, also in the place of another. A filter that cannot be read is refused."""
    now_ns = call.platform.clock.now_ns()
    parse(body.filter, now_ns=now_ns)
    kept, is_new = await call.platform.database.write(
        lambda db: saved_queries.put_saved_query(
            db, call.project, name, filter=body.filter, description=body.description, by=call.who, now_ns=now_ns
        )
    )
    response.status_code = 201 if is_new else 200
    return saved_json(kept)


@router.delete("/saved-queries/{name}", status_code=204)
async def delete_saved(call: AnyCaller, name: str) -> None:
    """Take a name away."""
    now_ns = call.platform.clock.now_ns()
    await call.platform.database.write(
        lambda db: saved_queries.delete_saved_query(db, call.project, name, by=call.who, now_ns=now_ns)
    )
