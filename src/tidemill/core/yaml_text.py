"""Values as YAML text for people to read: blocks for long text, one line for what is short."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tidemill.core.json import Json, JsonObject

_WIDTH: Final = 100
_SHORT: Final = 88
_ORDINARY: Final = re.compile(r"[A-Za-z0-9_./]")  # others begin what YAML may take for something else


def dump_document(kind: str, name: str, body: JsonObject) -> str:
    """A whole document, `kind` and `name` first."""
    return dump_value({"kind": kind, "name": name, **body})


def dump_value(value: Json) -> str:
    """A value in block form, ending in a new line."""
    from ruamel.yaml import YAML  # noqa: PLC0415  (only what writes specs pays for it)

    yaml: Any = YAML(typ="rt", pure=True)
    yaml.width = 4096
    yaml.allow_unicode = True
    yaml.default_flow_style = False
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump(_shaped(value, top=True), out)
    text = out.getvalue()
    return text.removesuffix("...\n") if text.endswith("\n...\n") else text


def _shaped(value: Json, *, top: bool = False) -> Any:
    """The value with text of several lines as a literal block, and short lists and mappings on one line."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq  # noqa: PLC0415  (the same)
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString  # noqa: PLC0415

    if isinstance(value, str):
        if "\n" in value:
            return LiteralScalarString(value) if is_plain_block(value) else DoubleQuotedScalarString(value)
        return str(value) if _ORDINARY.match(value) else DoubleQuotedScalarString(value)
    if isinstance(value, Mapping):
        made: Any = CommentedMap({key: _shaped(each) for key, each in value.items()})
        if not top and value and _is_short(value):
            made.fa.set_flow_style()
        return made
    if isinstance(value, Sequence):
        listed: Any = CommentedSeq([_shaped(each) for each in value])
        if value and _is_short(value):
            listed.fa.set_flow_style()
        return listed
    return value


def is_plain_block(text: str) -> bool:
    """Whether a literal block can hold the text as it is: nothing that YAML would change, or that needs an indentation sign."""
    first = text.lstrip("\n")
    if text != text.strip("\n") + "\n" * (len(text) - len(text.rstrip("\n"))) or first[:1] in {" ", "\t", ""}:
        return False
    return all(each.isprintable() or each in "\n\t" for each in text) and "\ufeff" not in text


def _is_short(value: Json) -> bool:
    return _is_flat(value) and len(str(value)) <= _SHORT


def _is_flat(value: Json) -> bool:
    """Whether it holds no text of several lines, and nests no deeper than once."""
    if isinstance(value, str):
        return "\n" not in value
    if isinstance(value, Mapping):
        return all(_is_flat(each) for each in value.values())
    if isinstance(value, Sequence):
        return all(_is_flat(each) for each in value)
    return True
