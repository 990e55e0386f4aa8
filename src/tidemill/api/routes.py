"""The table of routes, for what is the same on all of them: methods that an address answers, bodies that stream, documents."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, get_origin

from fastapi.dependencies.models import Dependant
from pydantic import BaseModel

from tidemill.api.etags import takes_condition
from tidemill.api.router import LazyRoute, Router

_PROJECT: Final = "/api/v1/projects/{project}"


@dataclass(frozen=True, kw_only=True)
class Known:
    """One route under its whole path."""

    path: str
    methods: frozenset[str]
    route: LazyRoute
    literal: int
    """Characters of the path that are not parameters."""

    @cached_property
    def parameters(self) -> Mapping[str, bool]:
        """The names of the query's parameters, and whether each may come more than once."""
        return _parameters(self.route.dependant, besides=re.findall(r"\{(\w+)", self.path))

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
    def of(cls, routers: Sequence[Router], *, prefix: str) -> Routes:
        """The routes of these routers, each below the prefix."""
        found = [
            Known(
                path=each.path,
                methods=frozenset(each.methods),
                route=each,
                literal=len(re.sub(r"\{[^}]*\}", "", each.path.removeprefix(prefix))),
            )
            for router in routers
            for each in router.below(prefix)
        ]
        return cls(known=found)

    def methods_of(self, path: str) -> list[str]:
        """The methods that an address answers, whichever route each belongs to; empty when there is none."""
        return sorted({method for each in self._at(path) for method in each.methods})

    def takes_condition(self, method: str, path: str) -> bool:
        """Whether a request's route keeps `If-Match`; an address without a route answers for itself."""
        found = [each for each in self._at(path) if method in each.methods]
        return not found or any(each.takes_condition for each in found)

    def streams(self, method: str, path: str) -> bool:
        """Whether a request goes to a route that reads its body piece by piece."""
        return any(each.streams and method in each.methods for each in self._at(path))

    def repeats(self, method: str, path: str) -> bool:
        """Whether a request goes to a route that keeps its answer under an `Idempotency-Key`: one that does not stream."""
        return any(not each.streams and method in each.methods for each in self._at(path))

    def parameters(self, method: str, path: str) -> Mapping[str, bool] | None:
        """The names of the query's parameters, and whether each may come more than once; None without such a route."""
        for each in self._at(path):
            if method in each.methods:
                return each.parameters
        return None

    def _at(self, path: str) -> list[Known]:
        """The routes of an address. That of `x:ack` is not also that of a thing called `x:ack`."""
        found = [each for each in self.known if each.route.is_at(path)]
        most = max((each.literal for each in found), default=0)
        return [each for each in found if each.literal == most]


def _parameters(dependant: Dependant, *, besides: Sequence[str]) -> dict[str, bool]:
    """Names in the query, those in a model of it too, without those in the path; True for lists."""
    found: dict[str, bool] = {}
    for each in dependant.query_params:
        kind: Any = each.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= {field.alias or name: _is_list(field.annotation) for name, field in kind.model_fields.items()}
        else:
            found[each.alias] = _is_list(kind)
    for inner in dependant.dependencies:
        found |= _parameters(inner, besides=besides)
    return {name: is_list for name, is_list in found.items() if name not in besides}


def _is_list(kind: Any) -> bool:
    origins = [get_origin(each) or each for each in (kind, *getattr(kind, "__args__", ()))]
    return any(each in {list, tuple, set} for each in origins)
