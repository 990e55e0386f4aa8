"""Attributes with indexes in their names (`messages.0.role`) as one tree of objects and lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias, cast

from tidemill.core.json import Json

_DEEPEST: Final = 12
_Tree: TypeAlias = "dict[str, Json | _Tree]"


class _Node(dict[str, object]):
    """An object of the tree; told apart from an object that was an attribute's value."""


def unflatten(values: Mapping[str, Json]) -> tuple[Json, list[str]]:
    """The tree, and the names that did not fit into it (`a` beside `a.b`), which it lacks.

    An object whose keys are all numbers is a list in the order of the numbers. Names go at most 12 levels deep: what is below
    is one name.
    """
    root, lost = _Node(), list[str]()
    for name, value in values.items():
        *path, last = name.split(".", _DEEPEST)
        node: object = root
        for part in path:
            node = node.setdefault(part, _Node()) if isinstance(node, _Node) else None
        if isinstance(node, _Node) and last not in node:
            node[last] = value
        else:
            lost.append(name)
    return _listed(root), lost


def _listed(node: object) -> Json:
    if not isinstance(node, _Node):
        return cast("Json", node)
    if node and all(key.isascii() and key.isdigit() and len(key) < _DEEPEST for key in node):
        return [_listed(node[key]) for key in sorted(node, key=int)]
    return {key: _listed(value) for key, value in node.items()}
