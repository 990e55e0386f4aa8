"""Calls about environments, and promoting between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Required, TypedDict, cast

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.client.govern import PolicyDecisionJson
from tidemill.core.json import Json, JsonObject


class SecretJson(TypedDict, total=False):
    """A secret that a connection refers to; `found` says whether it is there on the server's machine."""

    connection: str
    field: Required[str]
    reference: Required[str]
    found: bool


class ConnectionJson(TypedDict):
    """A connection in an environment: secrets by reference, headers by name. `for_all`: it holds where no other is set."""

    name: str
    provider: str
    base_url: str | None
    timeout: float
    allow_private: bool
    headers: Sequence[str]
    for_all: bool
    secrets: Sequence[SecretJson]


class HoldingJson(TypedDict):
    """What an application is in an environment."""

    app: str
    version: str
    release: str
    by: str
    at: str


class EnvironmentJson(TypedDict):
    """An environment; its rule `from` is read by `origin_of`. `current` is the server's own."""

    name: str
    current: bool
    protected: bool
    description: str
    connections: Sequence[ConnectionJson]
    promoted: Sequence[HoldingJson]
    endpoints: Sequence[str]


class DifferenceJson(TypedDict):
    """A connection that is not the same in both environments, and the models of the application that use it."""

    name: str
    to: JsonObject | None
    fields: Sequence[str]
    models: Sequence[str]


class ReportedJson(TypedDict):
    """What a model's provider reported of itself; `to` None: nothing in the target yet."""

    model: str
    connection: str
    to: str | None
    epoch: int


class UnsetJson(TypedDict):
    """A connection that a model names and that is not set in the target."""

    connection: str
    model: str


class EvidenceOfJson(TypedDict):
    """What a release rests on."""

    evaluations: Sequence[JsonObject]
    gates: Sequence[JsonObject]
    approvals: Sequence[JsonObject]


class PromotionJson(TypedDict):
    """A promotion that was made."""

    id: str
    environment: str
    root: str
    release: str
    before: str | None
    by: str
    why: str
    evidence: EvidenceOfJson
    at: str


class PromotedJson(TypedDict):
    """What a promotion did or, with `dry_run`, would do. `moved` False: it was there already, or it was a trial."""

    environment: str
    app: str
    root: str
    release: str
    before: str | None
    compared: str | None
    in_origin: bool
    rule: str | None
    moved: bool
    policy: PolicyDecisionJson
    connections: Sequence[DifferenceJson]
    unset: Sequence[UnsetJson]
    missing: Sequence[SecretJson]
    reported: Sequence[ReportedJson]
    follows: Sequence[str]
    deployed: Sequence[str]
    evidence: EvidenceOfJson
    promotion: PromotionJson | None


class EnvironmentCalls(Calls):
    """Environments and promotions."""

    async def environments(self) -> Sequence[EnvironmentJson]:
        """Every environment: its rules, its connections, and what is promoted there."""
        return await self._list("/environments", EnvironmentJson)

    async def environment(self, name: str) -> EnvironmentJson:
        """One environment."""
        return cast("EnvironmentJson", await self._line.send("GET", f"/environments/{segment(name)}"))

    async def promote(
        self,
        app: str,
        *,
        to: str,
        origin: str | None = None,
        why: str = "",
        dry_run: bool = False,
        elsewhere: bool = False,
    ) -> PromotedJson:
        """Let an application be this release (a digest or a reference) in the environment `to`; nothing is built.

        `origin` is the environment that it comes from. With `dry_run` nothing is changed. `elsewhere` says that the target's
        secrets are on another machine. Raises `Denied` with what is missing and what to type.
        """
        body: JsonObject = {"app": app, "from": origin, "why": why, "dry_run": dry_run, "elsewhere": elsewhere}
        return cast("PromotedJson", await self._line.send("POST", f"/environments/{segment(to)}:promote", body=body))

    async def promotions(
        self, *, environment: str | None = None, release: str | None = None, limit: int | None = None
    ) -> Sequence[PromotionJson]:
        """Promotions, newest first; into one environment, or of one release (its digest)."""
        params = {"environment": environment, "release": release}
        return await self._list("/promotions", PromotionJson, params=params, limit=limit)

    async def promotion(self, promotion: str) -> PromotionJson:
        """One promotion, with the evidence that it rested on."""
        return cast("PromotionJson", await self._line.send("GET", f"/promotions/{segment(promotion)}"))


def origin_of(found: EnvironmentJson | PromotionJson | PromotedJson | DifferenceJson | ReportedJson) -> Json:
    """The field `from`, which is no name in Python."""
    return cast("Mapping[str, Json]", found).get("from")
