"""Who is calling, and for which project: the one dependency of every route."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeVar, cast

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict

from tidemill.api.cursors import seal
from tidemill.api.platform import Platform, platform_of
from tidemill.api.replay import ASKED, Asked, replay_known
from tidemill.api.rights import check_right, check_route, right_of
from tidemill.core.errors import Denied, NotFound
from tidemill.core.refs import check_name
from tidemill.store import denials
from tidemill.store.access import Principal
from tidemill.store.grants import Right
from tidemill.store.page import Page as Found
from tidemill.store.page import make_page
from tidemill.store.projects import archived, is_archived

T = TypeVar("T")
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
    asked: Asked = field(default_factory=Asked)
    """The rights that were asked by `check`, with their targets."""

    @property
    def who(self) -> str:
        """How the audit names them."""
        return self.principal.who

    def check(self, right: Right, target: str) -> None:
        """Raise `Denied` when they may not do this to `target` (`endpoint/prod`), for what the path does not name."""
        check_right(self.principal, right, target)
        self.asked.append((right, target))


@dataclass(frozen=True, kw_only=True, slots=True)
class Visitor:
    """Somebody known, outside of any project."""

    platform: Platform
    principal: Principal

    @property
    def who(self) -> str:
        """How the audit names them."""
        return self.principal.who


_CHANGES: frozenset[Right] = frozenset({"ingest", "annotate", "attest", "develop", "deploy", "approve"})


async def _check_kept_open(call: Caller) -> None:
    """Raise `Conflict` for an archived project; keys and grants can be changed even then, so that they can be taken back."""
    database = call.platform.database
    if await database.remember(("archived", call.project), lambda db: is_archived(db, call.project)):
        raise archived(call.project)


async def _caller(request: Request, project: str) -> Caller:
    principal = request.scope["tidemill.principal"]
    assert isinstance(principal, Principal)
    check_name(project, what="project")
    try:
        here = principal.within(project)
    except NotFound as error:
        denials.refused(error, target=f"project/{project}", hidden=True)
        raise
    asked = request.scope.get(ASKED)
    return Caller(platform=platform_of(request), project=project, principal=here, asked=Asked() if asked is None else asked)


async def _entitled(request: Request, call: Annotated[Caller, Depends(_caller)]) -> Caller:
    if call.principal.endpoints is not None:
        raise Denied("this key may call endpoints only", hint="Use the admin token, or a key with the role developer.")
    route = request.scope["route"].path
    check_route(call.principal, request.method, route, request.path_params)
    _replay(request, call)
    if right_of(request.method, route) in _CHANGES:
        await _check_kept_open(call)
    return call


def _replay(request: Request, call: Caller) -> None:
    replay_known(request, lambda right, target: call.check(cast("Right", right), target))


AnyCaller = Annotated[Caller, Depends(_entitled)]
"""Whoever may use this route of the control plane, see `tidemill.api.rights`."""


async def _speaker(request: Request, call: Annotated[Caller, Depends(_caller)]) -> Caller:
    if call.principal.endpoints is None:
        return await _entitled(request, call)
    if call.principal.rights is not None or call.principal.standing is not None:
        check_route(call.principal, request.method, request.scope["route"].path, request.path_params)
    _replay(request, call)
    await _check_kept_open(call)
    return call


FeedbackCaller = Annotated[Caller, Depends(_speaker)]
"""Whoever may say how an answer was: applications too, by keys for their endpoints."""


async def _visitor(request: Request) -> Visitor:
    principal = request.scope["tidemill.principal"]
    assert isinstance(principal, Principal)
    return Visitor(platform=platform_of(request), principal=principal)


async def _anybody(request: Request, found: Annotated[Visitor, Depends(_visitor)]) -> Visitor:
    replay_known(request)
    return found


async def _somebody(request: Request, found: Annotated[Visitor, Depends(_visitor)]) -> Visitor:
    if found.principal.endpoints is not None:
        raise Denied("this key may call endpoints only", hint="Use the admin token, or a key with the role developer.")
    replay_known(request)
    return found


async def _administrator(request: Request, found: Annotated[Visitor, Depends(_visitor)]) -> Visitor:
    if not found.principal.may_administer_all:
        raise Denied(
            f"{found.who} may not administer every project",
            hint="Use the admin token, or log in as somebody with the role admin in every project.",
        )
    replay_known(request)
    return found


AnyVisitor = Annotated[Visitor, Depends(_anybody)]
"""Anybody known, keys for endpoints too."""
Somebody = Annotated[Visitor, Depends(_somebody)]
"""Anybody known whose key is not for endpoints only."""
Administrator = Annotated[Visitor, Depends(_administrator)]
"""Whoever may administer every project."""


Limit = Annotated[int, Query(ge=1, le=1000)]
"""How many items a list answers at most."""


def page_by(items: Iterable[T], *, key: Callable[[T], str], limit: int, cursor: str | None) -> Found[T]:
    """A page, by a key that is unique, of a list that is short enough to be read whole."""
    rest = sorted((each for each in items if cursor is None or key(each) > cursor), key=key)
    return make_page(rest[: limit + 1], limit=limit, cursor_of=key)


def page(items: list[Any], next_cursor: str | None = None) -> Page:
    """A list's answer. `next_cursor` is the store's; the caller of this list alone can use what becomes of it."""
    return {"items": items, "next": seal(next_cursor)}


ASKING: Final = frozenset({_entitled, _speaker, _anybody, _somebody, _administrator})
"""Who is calling, found in each way: every route that changes anything has one of these, see `tidemill.api.replay`."""
