"""The connector for a mapping of texts that a Python module holds, such as `pydoc_data.topics:topics`."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import cast

from tidemill.core.errors import Invalid
from tidemill.core.suggest import did_you_mean
from tidemill.data.source import SourceFile

_FORM = re.compile(r"[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)


def read_mapping(target: str, *, format: str) -> list[SourceFile]:  # noqa: A002  (the spec's key)
    """Each entry as a document: its key is the id, its text in `format`. Imports the module.

    Raises `Invalid` when the target is not there, is not a mapping of text to text, or is empty.
    """
    value = _load(target)
    if not isinstance(value, Mapping):
        raise Invalid(f"{target} is a {type(value).__name__}, not a mapping of texts", where="source.python")
    entries = cast("Mapping[object, object]", value)
    if not entries:
        raise Invalid(f"{target} is empty", where="source.python")
    found: list[SourceFile] = []
    for key, text in entries.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise Invalid(f"{target} holds {key!r}, which is not text under a text key", where="source.python")
        found.append(SourceFile(id=key, format=format, content=text.encode("utf-8", errors="replace")))
    return sorted(found, key=lambda each: each.id)


def _load(target: str) -> object:
    if _FORM.fullmatch(target) is None:
        raise Invalid(f"{target!r} does not name a mapping", where="source.python", hint="Write package.module:name.")
    module_name, _, path = target.partition(":")
    try:
        value: object = importlib.import_module(module_name)
    except ImportError as error:
        hint = "Install the package where the server runs."
        raise Invalid(f"cannot import {module_name!r}: {error}", where="source.python", hint=hint) from error
    for name in path.split("."):
        if not hasattr(value, name):
            public = [each for each in dir(value) if not each.startswith("_")]
            raise Invalid(f"{module_name} has no {path!r}", where="source.python", hint=did_you_mean(name, public))
        value = getattr(value, name)
    return value
