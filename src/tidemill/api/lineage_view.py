"""The lineage graph as JSON: nodes and edges, by version or rolled up to what they are versions of."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from tidemill.api.times import iso
from tidemill.store.lineage_show import Shown
from tidemill.store.lineage_walk import Direction


@dataclass(frozen=True, slots=True)
class ViewEdge:
    """A link between two nodes by their references."""

    source: str
    target: str
    relation: str
    at_ns: int | None = None


@dataclass(kw_only=True, slots=True)
class View:
    """A graph to be shown: nodes by reference with their distance, and edges."""

    nodes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    edges: list[ViewEdge] = field(default_factory=list[ViewEdge])

    def add(self, shown: Shown, *, depth: int, end: bool = False) -> None:
        """Put a point of the graph in."""
        self.put(
            shown.ref, shown.kind, depth=depth, end=end, artifact=shown.artifact, first=iso(shown.first_ns), by=shown.by,
            state=shown.state, digest=shown.digest, about=shown.about,
        )  # fmt: skip

    def put(self, ref: str, kind: str, *, depth: int, end: bool = False, **more: Any) -> None:
        """Put anything in; what is there stays."""
        plain: dict[str, Any] = {"artifact": ref, "first": None, "by": "", "state": "", "digest": None, "about": {}}
        node = {"id": ref, "ref": ref, "kind": kind, "depth": depth, "end": end, **plain, **more}
        self.nodes.setdefault(ref, node)

    def link(self, source: str, target: str, relation: str, at_ns: int | None = None) -> None:
        """Put a link in."""
        self.edges.append(ViewEdge(source, target, relation, at_ns))

    def as_json(self) -> dict[str, Any]:
        """`nodes` and `edges`, as a graph is drawn."""
        return {"nodes": list(self.nodes.values()), "edges": [_edge(each) for each in dict.fromkeys(self.edges)]}


def only_kinds(view: View, kinds: Collection[str], direction: Direction, *, keep: Collection[str]) -> View:
    """The nodes of these kinds and those to `keep`; what led through others leads straight, as `via`."""
    shown = {ref for ref, node in view.nodes.items() if node["kind"] in kinds or ref in keep}
    before: dict[str, list[tuple[str, ViewEdge]]] = {}
    for each in view.edges:
        near, far = (each.source, each.target) if direction == "down" else (each.target, each.source)
        before.setdefault(far, []).append((near, each))
    nearest: dict[str, frozenset[str]] = {}
    edges: list[ViewEdge] = []
    for ref in sorted(view.nodes, key=lambda each: view.nodes[each]["depth"]):
        found: set[str] = set()
        for near, each in before.get(ref, ()):
            if near in shown:
                found.add(near)
                if ref in shown:
                    edges.append(each)
            else:
                found |= nearest.get(near, frozenset())
        if ref in shown:
            direct = {near for near, _ in before.get(ref, ())}
            edges += [_directed(near, ref, direction) for near in sorted(found - direct)]
        nearest[ref] = frozenset(found)
    return View(nodes={ref: node for ref, node in view.nodes.items() if ref in shown}, edges=edges)


def by_artifact(view: View) -> View:
    """The same with every version rolled up to its artifact; `versions` names those that were met."""
    rolled = View()
    for node in view.nodes.values():
        name = node["artifact"]
        known = rolled.nodes.get(name)
        if known is None:
            rolled.nodes[name] = {**node, "id": name, "ref": name, "digest": None, "versions": [node["ref"]]}
            if name != node["ref"]:
                rolled.nodes[name] |= {"by": "", "about": {}}
        else:
            known["versions"].append(node["ref"])
            known["depth"] = min(known["depth"], node["depth"])
            known["end"] = known["end"] and node["end"]
            known["first"] = _earlier(known["first"], node["first"])
            known["state"] = "live" if "live" in {known["state"], node["state"]} else known["state"]
    place = {ref: node["artifact"] for ref, node in view.nodes.items()}
    for each in view.edges:
        source, target = place.get(each.source, each.source), place.get(each.target, each.target)
        if source != target:
            rolled.link(source, target, each.relation)
    return rolled


def _earlier(a: str | None, b: str | None) -> str | None:
    return min(a, b) if a and b else a or b


def _directed(near: str, far: str, direction: Direction) -> ViewEdge:
    return ViewEdge(near, far, "via") if direction == "down" else ViewEdge(far, near, "via")


def _edge(edge: ViewEdge) -> dict[str, Any]:
    return {
        "id": f"{edge.source} {edge.relation} {edge.target}", "source": edge.source, "target": edge.target,
        "relation": edge.relation, "at": None if edge.at_ns is None else iso(edge.at_ns),
    }  # fmt: skip
