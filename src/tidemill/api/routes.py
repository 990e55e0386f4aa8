"""The table of routes, for what is the same on all of them: methods that an address answers, bodies that stream, documents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import compile_path

from tidemill.api.etags import takes_condition

_PROJECT: Final = "/api/v1/projects/{project}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """One route under its whole path."""

    path: str
    methods: frozenset[str]
    pattern: re.Pattern[str]
    route: APIRoute

    @property
    def documented_path(self) -> str:
        """The path as the OpenAPI document has it."""
        return re.sub(r"\{(\w+):\w+\}", r"{\1}", self.path)

    @property
    def below(self) -> str:
        """The path below the project; of a route outside of projects, the whole."""
        return self.documented_path.removeprefix(_PROJECT)

    @property
    def takes_condition(self) -> bool:
        """Whether it keeps `If-Match`."""
        return takes_condition(self.route)

    @property
    def streams(self) -> bool:
        """Whether it reads its body piece by piece, and not as JSON."""
        return self.route.body_field is None and self.route.dependant.request_param_name is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Routes:
    """Every route of the control plane."""

    known: Sequence[Known]

    @classmethod
    def of(cls, routers: Sequence[APIRouter], *, prefix: str) -> Routes:
        """The routes of these routers, each below the prefix."""
        found = [
            Known(
                path=prefix + each.path,
                methods=frozenset(each.methods or ()),
                pattern=compile_path(prefix + each.path)[0],
                route=each,
            )
            for router in routers
            for each in router.routes
            if isinstance(each, APIRoute)
        ]
        return cls(known=found)

    def methods_of(self, path: str) -> list[str]:
        """The methods that an address answers, whichever route each belongs to; empty when there is none."""
        return sorted({method for each in self.known if each.pattern.match(path) for method in each.methods})

    def takes_condition(self, method: str, path: str) -> bool:
        """Whether a request's route keeps `If-Match`; an address without a route answers for itself."""
        found = [each for each in self.known if method in each.methods and each.pattern.match(path) is not None]
        return not found or any(each.takes_condition for each in found)

    def streams(self, method: str, path: str) -> bool:
        """Whether a request goes to a route that reads its body piece by piece."""
        return any(each.streams and method in each.methods and each.pattern.match(path) is not None for each in self.known)
