"""The request that is being answered, for what has to name it: a problem its id, a list's cursor its address."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Final

from starlette.types import Scope

_CURRENT: ContextVar[Scope | None] = ContextVar("request", default=None)
_NO_SCOPE: Final[Scope] = {}


def current_scope() -> Scope:
    """The request's ASGI scope; empty outside of one."""
    return _CURRENT.get() or _NO_SCOPE


def current_id() -> str:
    """The request's id; empty outside of one."""
    return str(current_scope().get("tidemill.request_id", ""))


def enter(scope: Scope) -> Token[Scope | None]:
    """Begin to answer a request; give the token to `leave`."""
    return _CURRENT.set(scope)


def leave(token: Token[Scope | None]) -> None:
    """The request is answered."""
    _CURRENT.reset(token)
