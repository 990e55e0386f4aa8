"""Lineage as trees of text: a thing that is met twice is drawn once, and pointed at elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from tidemill.cli.figures import counted, moment, short
from tidemill.cli.screen import LONGEST_LINE, Tone, cells, clean, paint
from tidemill.client.lineage import Lineage, LineageEdge, LineageNode, LineagePath

_MOST_ALIKE: Final = 12
_LONGEST_REF: Final = 56
_UP_WORDS: Final[Mapping[str, str]] = {
    "used_by": "needed", "locked": "locked", "indexed": "indexed", "read_as": "read", "defines": "defined it",
    "evaluated": "evaluated", "judged_on": "judged on", "scored_by": "scored by", "decided": "decided on", "against": "against",
    "rule_of": "rule", "approved": "approved", "allowed": "allowed it", "deploy": "deployed", "promote": "promoted",
    "rollback": "rolled back to", "tried": "tried", "shared": "tried there", "answered": "answered", "retrieved": "retrieved",
    "sampled": "sampled", "labelled": "said of it", "said": "said of", "extended": "extended", "proposed": "proposed",
    "watched": "watched", "ran": "run of", "made": "made it", "read": "read", "wrote": "wrote it", "cut_into": "cut from",
    "given": "given", "via": "through others",
}  # fmt: skip
_DOWN_WORDS: Final[Mapping[str, str]] = {
    **_UP_WORDS, "used_by": "uses it", "locked": "locks it", "indexed": "holds it", "read_as": "read from it",
    "defines": "defined by it", "evaluated": "evaluates it", "judged_on": "judges on it", "scored_by": "scored by it",
    "decided": "decides on it", "rule_of": "decided by it", "approved": "approves it", "allowed": "allowed by it",
    "deploy": "serves it", "promote": "serves it", "rollback": "serves it", "tried": "tries it", "answered": "answered by it",
    "retrieved": "found it", "sampled": "holds it", "labelled": "labelled by it", "said": "said of it",
    "extended": "extends it", "ran": "ran", "made": "made", "wrote": "written", "cut_into": "piece of it",
}  # fmt: skip
_TONES: Final[Mapping[str, Tone]] = {
    "live": "good", "passed": "good", "valid": "good", "failed": "bad", "deleted": "bad", "erased": "bad", "revoked": "bad",
    "expired": "unsure", "inconclusive": "unsure", "running": "unsure", "replaced": "quiet",
}  # fmt: skip
Direction = Literal["up", "down"]


def lineage_trees(graph: Lineage) -> list[str]:
    """The thing, then above what it was made of and what was made of it."""
    nodes = {each["id"]: each for each in graph["nodes"]}
    root = nodes.get(graph["of"])
    lines = [_heading(root, graph["of"])]
    asked: tuple[Direction, ...] = ("up", "down") if graph["direction"] == "both" else _one(graph["direction"])
    for each in asked:
        tree = _Tree(nodes, graph["edges"], each, root=graph["of"])
        branches = _aligned(list(tree.lines()))
        title = "made of" if each == "up" else "feeds"
        if branches:
            lines += ["", paint(title, "quiet"), *branches]
        elif len(asked) == 1 or each == "up":
            lines += ["", paint(f"{title}  nothing that is known", "quiet")]
    if graph["truncated"]:
        more = f"--cursor {graph['next']}" if graph["next"] else "--up or --down alone, --kinds, --depth or --limit"
        lines += ["", paint(f"There is more than is shown: add {more}", "unsure")]
    return lines


def path_lines(path: LineagePath, first: str, last: str) -> list[str]:
    """A line a step, from the first to the last."""
    if path["answer"] == "undecided":
        return [paint(f"whether {clean(first)} leads to {clean(last)} was not settled: too much lies between", "unsure")]
    if path["answer"] == "none":
        return [f"nothing leads from {clean(first)} to {clean(last)}, or back"]
    relations = {(each["source"], each["target"]): each["relation"] for each in path["edges"]}
    lines: list[_Line] = []
    before: LineageNode | None = None
    for each in path["nodes"]:
        word = "" if before is None else _DOWN_WORDS.get(relations.get((before["id"], each["id"]), ""), "")
        start = "  " if before is None else "↓ "
        lines.append(_Line(start + clean(each["ref"]), word, _when(each), clean(each["by"]), _state(each)))
        before = each
    links = counted(len(path["nodes"]) - 1, "link")
    return [*_aligned(lines), "", paint(f"{links}{'' if path['direction'] == 'down' else f', from {clean(last)} on'}", "quiet")]


class _Tree:
    """One direction of a graph. Each thing is drawn below the first of those that are one link nearer."""

    def __init__(
        self, nodes: Mapping[str, LineageNode], edges: Sequence[LineageEdge], direction: Direction, *, root: str
    ) -> None:
        self._nodes, self._root, self._up = nodes, root, direction == "up"
        self._children: dict[str, dict[str, str]] = {}
        for each in edges:
            near, far = (each["target"], each["source"]) if self._up else (each["source"], each["target"])
            if near in nodes and far in nodes:
                self._children.setdefault(near, {}).setdefault(far, each["relation"])
        self._homes = self._find_homes()
        self._drawn = {root}

    def lines(self) -> Iterator[_Line]:
        """The branches below the root."""
        tops = self._children.get(self._root, {})
        is_page = self._root not in self._nodes  # of a later page the root was shown before
        loose = [ref for ref in self._nodes if ref not in self._homes and ref not in tops] if is_page else []
        yield from self._below(self._root, indent="", extra=loose)

    def _find_homes(self) -> dict[str, str]:
        homes: dict[str, str] = {}
        front = [self._root]
        while front:
            following: list[str] = []
            for near in front:
                for far in self._children.get(near, {}):
                    if far not in homes and far != self._root:
                        homes[far] = near
                        following.append(far)
            front = following
        return homes

    def _below(self, ref: str, *, indent: str, extra: Sequence[str] = ()) -> Iterator[_Line]:
        children = self._children.get(ref, {}) | dict.fromkeys(extra, "")
        below = [self._nodes[each] for each in children if each in self._nodes]
        below.sort(key=lambda each: (each["kind"], children[each["id"]]))
        shown, left_out = _thinned(below)
        for place, node in enumerate(shown):
            is_last = place == len(shown) - 1 and not left_out
            start, deeper = f"{indent}{'└─' if is_last else '├─'} ", f"{indent}{'  ' if is_last else '│ '} "
            word = (_UP_WORDS if self._up else _DOWN_WORDS).get(children[node["id"]], children[node["id"]])
            if self._homes.get(node["id"], ref) != ref or node["id"] in self._drawn:
                where = "above" if node["id"] in self._drawn else "below"
                has_more = bool(self._children.get(node["id"]))
                yield _Line(start + clean(node["ref"]), word, f"see {where}" if has_more else "")
                continue
            self._drawn.add(node["id"])
            yield _Line(start + clean(node["ref"]), word, _when(node), clean(node["by"]), _state(node))
            yield from self._below(node["id"], indent=deeper)
        for place, (kind, number) in enumerate(left_out):
            yield _Line(f"{indent}{'└─' if place == len(left_out) - 1 else '├─'} … {number} more of kind {kind}")


class _Line(NamedTuple):
    """A line's columns; `state` may be painted."""

    ref: str
    word: str = ""
    when: str = ""
    by: str = ""
    state: str = ""


def _aligned(lines: Sequence[_Line]) -> list[str]:
    """The lines with their columns below each other, where they are not too long for that."""
    size = max((cells(each.ref) for each in lines if cells(each.ref) <= _LONGEST_REF and (each.word or each.when)), default=0)
    words = max((cells(each.word) for each in lines), default=0)
    people = max((cells(each.by) for each in lines if each.state), default=0)
    made: list[str] = []
    for each in lines:
        ref = each.ref + " " * (size - cells(each.ref))
        by = f"{each.by:<{people}}" if each.state else each.by
        pieces = (ref, f"{each.word:<{words}}", f"{each.when:<16}" if each.by or each.state else each.when, by, each.state)
        line = "  ".join(pieces).rstrip()
        if cells(clean(line)) > LONGEST_LINE:
            line = "  ".join(piece for piece in (each.ref, each.word, each.when, each.by, each.state) if piece)
        made.append(line)
    return made


def _thinned(nodes: Sequence[LineageNode]) -> tuple[list[LineageNode], list[tuple[str, int]]]:
    """At most a dozen of a kind below one thing, and how many more there are."""
    counts: dict[str, int] = {}
    shown: list[LineageNode] = []
    for each in nodes:
        counts[each["kind"]] = counts.get(each["kind"], 0) + 1
        if counts[each["kind"]] <= _MOST_ALIKE:
            shown.append(each)
    return shown, [(kind, number - _MOST_ALIKE) for kind, number in counts.items() if number > _MOST_ALIKE]


def _heading(root: LineageNode | None, ref: str) -> str:
    if root is None:
        return paint(clean(ref), "strong")
    pieces = [
        paint(clean(root["ref"]), "strong"),
        short(root["digest"]) if root["digest"] else "",
        _when(root),
        clean(root["by"]),
    ]
    return "  ".join(each for each in (*pieces, _state(root)) if each)


def _when(node: LineageNode) -> str:
    return moment({"at": node["first"]}, "at")[:16] if node["first"] else ""


def _state(node: LineageNode) -> str:
    """How it stands: `live at endpoint/x`, `deleted`, `passed`."""
    state = clean(node["state"])
    at = node["about"].get("live_at")
    if isinstance(at, Sequence) and not isinstance(at, str):
        state = f"live at {', '.join(clean(str(each)) for each in at)}"
    return paint(state, _TONES.get(node["state"], "plain"))


def _one(direction: str) -> tuple[Direction, ...]:
    return ("up",) if direction == "up" else ("down",)
