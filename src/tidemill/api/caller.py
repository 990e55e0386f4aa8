"""Who is calling, and for which project: the one dependency of every route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict

from tidemill.api.cursors import seal
from tidemill.api.platform import Platform, platform_of
from tidemill.api.rights import check_right, right_of
from tidemill.core.errors import Denied
from tidemill.core.refs import check_name
from tidemill.store.access import Principal

Page = dict[str, Any]
"""A list's answer: `{"items": […], "next": CURSOR|null}`."""


class Body(BaseModel):
    """A request's body: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """A checked principal, the project of the path, and the platform."""

    platform: Platform
    project: str
    principal: Principal

    @property
    def who(self) -> str:
        """How the audit names them."""
        return self.principal.who


async def _caller(request: Request, project: str) -> Caller:
    principal = request.scope["tidemill.principal"]
    assert isinstance(principal, Principal)
    check_name(project, what="project")
    if not principal.is_admin and principal.project != project:
        raise Denied(f"this key belongs to project {principal.project!r}, not {project!r}", hint="Use a key of that project.")
    return Caller(platform=platform_of(request), project=project, principal=principal)


async def _entitled(request: Request, call: Annotated[Caller, Depends(_caller)]) -> Caller:
    if call.principal.endpoints is not None:
        raise Denied("this key may call endpoints only", hint="Use the admin token, or a key with the role developer.")
    check_right(call.principal.role, right_of(request.method, request.scope["route"].path))
    return call


AnyCaller = Annotated[Caller, Depends(_entitled)]
"""Whoever may use this route of the control plane, see `tidemill.api.rights`."""


async def _speaker(request: Request, call: Annotated[Caller, Depends(_caller)]) -> Caller:
    return call if call.principal.endpoints is not None else await _entitled(request, call)


FeedbackCaller = Annotated[Caller, Depends(_speaker)]
"""Whoever may say how an answer was: applications too, by keys for their endpoints."""


Limit = Annotated[int, Query(ge=1, le=1000)]
"""How many items a list answers at most."""


def page(items: list[Any], next_cursor: str | None = None) -> Page:
    """A list's answer. `next_cursor` is the store's; the caller of this list alone can use what becomes of it."""
    return {"items": items, "next": seal(next_cursor)}
