"""Who asks, and how: what limits, routing and the cache go by."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class CacheControl(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one request says of kept answers; a model's or route's own policy may allow less, never more.

    `read`: a kept answer may be given; `write`: this one may be kept; `only`: only a kept answer is wanted. `max_age` and
    `ttl` are in seconds: how old a kept answer may be, and how long this one is kept (None: as the policy says). `semantic`
    False: an answer to a question of the same meaning is not wanted. `namespace` keeps answers apart.
    """

    read: bool = True
    write: bool = True
    only: bool = False
    max_age: float | None = None
    ttl: float | None = None
    semantic: bool | None = None
    namespace: str = ""


_AS_THE_POLICY_SAYS: Final = CacheControl()
_ASKED_ANEW: Final = CacheControl(read=False, write=False)


class Caller(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """For whom one call is made. Made once a request, at the door, and handed down through every flow.

    `key` is the id of the API key, None for what the platform asks by itself; `user` and `session` are what the client said of
    its own. `endpoint` is the one that was asked, if any. `priority` is 0 for what is usual; under overload the lower is shed
    first. `deadline` is the moment, in the clock's monotonic seconds, after which the answer is of no use. `headers` (names in
    lower case) are those of the request that a route may read, never its credentials.
    """

    project: str
    environment: str
    key: str | None = None
    user: str | None = None
    team: str | None = None
    session: str | None = None
    endpoint: str | None = None
    tags: Mapping[str, str] = _NOTHING
    priority: int = 0
    deadline: float | None = None
    cache: CacheControl = _AS_THE_POLICY_SAYS
    headers: Mapping[str, str] = _NOTHING

    @classmethod
    def internal(cls, project: str, environment: str, *, priority: int = 0) -> Caller:
        """The platform itself: an evaluation, an index, a schedule. It asks anew, so that each replicate is one."""
        return cls(project=project, environment=environment, priority=priority, cache=_ASKED_ANEW)

    def left(self, now: float) -> float | None:
        """Seconds until the deadline, 0 after it; None without one. `now` is in monotonic seconds."""
        return None if self.deadline is None else max(0.0, self.deadline - now)
