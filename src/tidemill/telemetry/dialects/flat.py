"""Attributes with indexes in their names (`messages.0.role`) as one tree of objects and lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from tidemill.core.json import Json

_DEEPEST: Final = 12

Shape: TypeAlias = "str | tuple[bool, tuple[tuple[str, Shape], ...]]"
"""The name of an attribute, or whether it is a list and its parts by name."""


class _Node(dict[str, "str | _Node"]):
    """An object while the shape is made."""


def shape_of(names: Iterable[str], *, prefix: str = "") -> tuple[Shape, list[str]]:
    """The shape of a tree of attributes, each the prefix and one of `names`; and the names that did not fit (`a` beside `a.b`).

    An object whose keys are all numbers is a list in the order of the numbers. Names go at most 12 levels deep: what is below
    is one name.
    """
    root, lost = _Node(), list[str]()
    for name in names:
        *path, last = name.split(".", _DEEPEST)
        node: str | _Node = root
        for part in path:
            node = node.setdefault(part, _Node()) if isinstance(node, _Node) else ""
        if isinstance(node, _Node) and last not in node:
            node[last] = prefix + name
        else:
            lost.append(name)
    return _frozen(root), lost


def _frozen(node: str | _Node) -> Shape:
    if isinstance(node, str):
        return node
    if node and all(key.isascii() and key.isdigit() and len(key) < _DEEPEST for key in node):
        return True, tuple((key, _frozen(node[key])) for key in sorted(node, key=int))
    return False, tuple((key, _frozen(value)) for key, value in node.items())


def fill(shape: Shape, attributes: Mapping[str, Json]) -> Json:
    """The tree of this shape, with the values of the attributes."""
    if isinstance(shape, str):
        return attributes[shape]
    is_list, parts = shape
    if is_list:
        return [attributes[each] if isinstance(each, str) else fill(each, attributes) for _, each in parts]
    return {name: attributes[each] if isinstance(each, str) else fill(each, attributes) for name, each in parts}
