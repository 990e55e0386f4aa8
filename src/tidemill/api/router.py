"""Routes that cost next to nothing until they are asked for.

FastAPI looks at a function's parameters, and makes a validator of each, when its route is declared, and once more when the
router is included. Over all routes that is most of the time that opening the platform takes, and a command uses two or three
of them. A route of ours does it once, at the first request that it gets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match, compile_path, get_name
from starlette.types import Scope

_PARAMETER: Final = re.compile(r"\{[^}]*\}")
_OF_PATH: Final = frozenset({"path_regex", "path_format", "param_convertors"})


class LazyRoute(APIRoute):
    """A route of FastAPI whose path is read at the first request that may be for it, and the rest at the first that is."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.path = path
        self.endpoint = endpoint
        self.name = options.get("name") or get_name(endpoint)
        self.methods = {each.upper() for each in options.get("methods") or ("GET",)}
        self._options = options
        pieces = _PARAMETER.split(path)
        self._literal = max(pieces[1:] or pieces, key=len)  # the first piece is the same of all

    def below(self, prefix: str) -> LazyRoute:
        """The same route under a longer path."""
        return LazyRoute(prefix + self.path, self.endpoint, **self._options)

    def is_at(self, path: str) -> bool:
        """Whether it answers this path, with one method or another."""
        return self._literal in path and self.path_regex.match(path) is not None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether it answers this request, see Starlette."""
        return super().matches(scope) if self._literal in scope["path"] else (Match.NONE, {})

    def __getattr__(self, name: str) -> Any:
        """What is not there yet: made now, by Starlette or by FastAPI."""
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _OF_PATH:
            self.path_regex, self.path_format, self.param_convertors = compile_path(self.path)
        else:
            super().__init__(self.path, self.endpoint, **self._options)
        return self.__dict__[name]


class Router(APIRouter):
    """The routes of one module, by their paths below a project, or below all of them."""

    def __init__(self, *, tags: Sequence[str], prefix: str = "") -> None:
        super().__init__(prefix=prefix, tags=[*tags], route_class=LazyRoute)

    def below(self, prefix: str) -> list[LazyRoute]:
        """These routes under their whole paths."""
        return [cast("LazyRoute", each).below(prefix) for each in self.routes]
