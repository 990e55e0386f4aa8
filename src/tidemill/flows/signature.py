"""A JSON Schema of a function's arguments, from its signature as written."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.flows.code import Definition

_PLAIN: Final[Mapping[str, JsonObject]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "None": {"type": "null"},
    "list": {"type": "array"}, "List": {"type": "array"}, "Sequence": {"type": "array"}, "tuple": {"type": "array"},
    "set": {"type": "array"}, "frozenset": {"type": "array"}, "Iterable": {"type": "array"},
    "dict": {"type": "object"}, "Dict": {"type": "object"}, "Mapping": {"type": "object"},
}  # fmt: skip
_SEQUENCES: Final = frozenset({"list", "List", "Sequence", "tuple", "set", "frozenset", "Iterable"})
_REMEDY: Final = "Give parameters: a JSON Schema of the arguments."


def schema_of(definition: Definition) -> JsonObject:
    """The schema of an object with the arguments by name. A type that is not understood allows anything.

    Raises `Invalid` for arguments that cannot be given by name.
    """
    arguments = definition.args
    if arguments.posonlyargs or arguments.vararg:
        raise Invalid(f"{definition.name} takes arguments by position, but is called by name", hint=_REMEDY)
    texts = _described(definition)
    properties: dict[str, Json] = {}
    required: list[Json] = []
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + list(arguments.defaults)
    for argument, default in [
        *zip(arguments.args, defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]:
        schema: dict[str, Json] = dict(_annotation(argument.annotation))
        if argument.arg in texts and "description" not in schema:
            schema["description"] = texts[argument.arg]
        if default is None:
            required.append(argument.arg)
        else:
            schema |= _default(default)
        properties[argument.arg] = schema
    schema = {"type": "object", "properties": properties, "additionalProperties": arguments.kwarg is not None}
    return {**schema, "required": required} if required else schema


def description_of(definition: Definition) -> str:
    """The first paragraph of its docstring."""
    return " ".join((ast.get_docstring(definition) or "").split("\n\n")[0].split())


def _default(node: ast.expr) -> dict[str, Json]:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return {}
    return {"default": value} if isinstance(value, str | int | float | bool) else {}


def _annotation(node: ast.expr | None) -> JsonObject:
    if node is None:
        return {}
    if isinstance(node, ast.Constant):
        return _constant(node)
    if isinstance(node, ast.Name | ast.Attribute):
        return _PLAIN.get(_name(node), {})
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _any_of([node.left, node.right])
    if isinstance(node, ast.Subscript):
        return _subscript(_name(node.value), node.slice)
    return {}


def _constant(node: ast.Constant) -> JsonObject:
    if isinstance(node.value, str):
        try:
            return _annotation(ast.parse(node.value, mode="eval").body)
        except SyntaxError:
            return {}
    return _PLAIN["None"] if node.value is None else {}


def _subscript(name: str, inner: ast.expr) -> JsonObject:
    items = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
    if name == "Optional":
        return _any_of([*items, ast.Constant(value=None)])
    if name == "Union":
        return _any_of(items)
    if name == "Literal":
        return {"enum": [each.value for each in items if isinstance(each, ast.Constant) and isinstance(each.value, str | int)]}
    if name == "Annotated":
        text = next((each.value for each in items[1:] if isinstance(each, ast.Constant) and isinstance(each.value, str)), None)
        return {**_annotation(items[0]), **({"description": text} if text else {})}
    if name in _SEQUENCES and items:
        of = _annotation(items[0])
        return {"type": "array", "items": of} if of else {"type": "array"}
    return _PLAIN.get(name, {})


def _any_of(nodes: list[ast.expr]) -> JsonObject:
    schemas = [_annotation(each) for each in nodes]
    if not all(schemas):
        return {}
    return {"anyOf": list(schemas)}


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _described(definition: Definition) -> dict[str, str]:
    """`name: text` below `Args:` of the docstring."""
    lines = (ast.get_docstring(definition) or "").splitlines()
    start = next((number for number, line in enumerate(lines) if line.strip() in {"Args:", "Arguments:", "Parameters:"}), None)
    if start is None:
        return {}
    found: dict[str, str] = {}
    for line in lines[start + 1 :]:
        if line and not line.startswith(" "):
            break
        name, colon, text = line.strip().partition(":")
        if colon and text.strip():
            found[name.split(" ")[0]] = text.strip()
    return found
