"""Answers about environments and promotion."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict


class SecretShape(TypedDict):
    """A secret by reference; `found` says whether it is there on the machine of this server."""

    field: str
    reference: str
    found: bool


class ConnectionShape(TypedDict):
    """A connection of an environment."""

    name: str
    provider: str
    base_url: str | None
    timeout: float
    allow_private: bool
    headers: list[str]
    for_all: bool
    secrets: list[SecretShape]


class EnvironmentShape(TypedDict("_EnvironmentFrom", {"from": str | None})):
    """A named set of connections, and what was promoted there."""

    name: str
    current: bool
    protected: bool
    description: str
    connections: list[ConnectionShape]
    promoted: Any
    endpoints: list[str]


class PromotionShape(TypedDict("_PromotedFrom", {"from": str | None})):
    """A promotion, with the evidence that it rested on."""

    id: str
    environment: str
    root: str
    release: str
    before: str | None
    by: str
    why: str
    evidence: Any
    at: str


class PromotedShape(TypedDict("_PromoteFrom", {"from": str | None})):
    """What a promotion does, or would do."""

    environment: str
    app: str
    root: str
    release: str
    before: str | None
    compared: Any
    in_origin: Any
    rule: str | None
    policy: Any
    connections: list[dict[str, Any]]
    unset: list[dict[str, Any]]
    missing: list[dict[str, Any]]
    reported: list[dict[str, Any]]
