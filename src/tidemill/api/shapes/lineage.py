"""Answers about lineage: the graph, what stands on a thing, OpenLineage."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class LineageNodeShape(TypedDict):
    """A thing in the graph. `depth` counts links from what was asked for, `about` is more of it, by kind."""

    id: str
    ref: str
    kind: str
    depth: int
    end: bool
    artifact: str
    first: str | None
    by: str
    state: str
    digest: str | None
    about: dict[str, Any]
    versions: NotRequired[list[str]]


class LineageEdgeShape(TypedDict):
    """`source` fed `target`; `relation` reads in this direction."""

    id: str
    source: str
    target: str
    relation: str
    at: str | None


class LineageShape(TypedDict):
    """What something was made of and what was made of it, the nearest first."""

    of: str
    direction: Literal["up", "down", "both"]
    by: Literal["version", "artifact"]
    nodes: list[LineageNodeShape]
    edges: list[LineageEdgeShape]
    truncated: bool
    note: str | None
    next: str | None


class PathShape(TypedDict("_PathFrom", {"from": str})):
    """The shortest line between two things."""

    to: str
    answer: Literal["found", "none", "undecided"]
    direction: Literal["down", "up"] | None
    nodes: list[LineageNodeShape]
    edges: list[LineageEdgeShape]


class ReachedShape(TypedDict):
    """A thing that stands on what was asked for."""

    ref: str
    kind: str
    state: str
    by: str
    first: str | None
    digest: str | None
    about: dict[str, Any]


class ServingShape(ReachedShape):
    """An endpoint or a release, and its requests: all, and those that used the thing. None where that cannot be told."""

    requests: int | None
    used: int | None
    first_request: NotRequired[str | None]
    last_request: NotRequired[str | None]


class CountedRequestsShape(TypedDict):
    """Requests, and how many more were those of evaluations."""

    requests: int
    evaluated: int
    first_request: str | None
    last_request: str | None


class AnsweredShape(TypedDict):
    """Requests that releases with the thing answered, and those that used it; `untold` may have. `newest` are traces."""

    served: CountedRequestsShape
    used: CountedRequestsShape | None
    untold: int
    newest: list[str]


class ImpactShape(TypedDict):
    """What stands on a thing. `counts` are of all, by kind, whatever `limit` lets be listed."""

    of: str
    kind: str
    counts: dict[str, int]
    truncated: bool
    endpoints: list[ServingShape]
    releases: list[ServingShape]
    kinds: dict[str, list[ReachedShape]]
    requests: AnsweredShape | None


class OpenLineageEventShape(TypedDict):
    """An OpenLineage run event."""

    eventType: str
    eventTime: str
    producer: str
    schemaURL: str
    run: dict[str, Any]
    job: dict[str, Any]
    inputs: NotRequired[list[dict[str, Any]]]
    outputs: NotRequired[list[dict[str, Any]]]


class RefusedEventShape(TypedDict):
    """An event that was not taken, by its place in what was sent, from 0."""

    event: int
    reason: str


class TakenShape(TypedDict):
    """How many events were kept, how many had been sent before, and those that were refused."""

    kept: int
    known: int
    refused: list[RefusedEventShape]
