"""From a version back to the document that says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from tidemill.core.digests import canonical
from tidemill.core.extend import ArtifactKind, Materialises, Surroundings
from tidemill.core.json import Json
from tidemill.core.records import Material, Parsed, Version


def materialise(kind: ArtifactKind, version: Version, *, around: Surroundings) -> Material:
    """The body of a document that says this version, and the files that it names; see `core.extend.Materialises`."""
    return kind.materialise(version, around=around) if isinstance(kind, Materialises) else Material(body=version.spec)


def says(parsed: Parsed, version: Version, *, without_code: bool = False) -> bool:
    """Whether a parsed document is this version, references as written; `without_code` leaves the sources of modules out."""
    if dict(parsed.blobs) != dict(version.blobs) or set(parsed.references.values()) != set(version.refs):
        return False
    if without_code:
        return canonical(_without_code(parsed.spec)) == canonical(_without_code(version.spec))
    return canonical(parsed.spec) == canonical(version.spec)


def _without_code(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _entry(each) if key == "code" else _without_code(each) for key, each in value.items()}
    return value if value is None or isinstance(value, str | bool | int | float) else [_without_code(each) for each in value]


def _entry(code: Json) -> Json:
    return cast("Mapping[str, Json]", code).get("entry") if isinstance(code, Mapping) else code
