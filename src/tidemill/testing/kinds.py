"""The kit for artifact kinds."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.core.digests import canonical
from tidemill.core.errors import Invalid
from tidemill.core.extend import ArtifactKind, Files
from tidemill.core.json import JsonObject
from tidemill.core.refs import parse_ref


def check_artifact_kind(kind: ArtifactKind, *, body: JsonObject, files: Files) -> None:
    """`body` parses to a canonical spec, the same each time; an unknown key is refused, naming it."""
    assert kind.name, "a kind has a name"
    parsed = kind.parse(body, files=files)
    canonical(parsed.spec)
    assert kind.parse(body, files=files) == parsed, "parsing twice gives the same"
    for place, reference in parsed.references.items():
        parse_ref(reference)
        assert place, f"the reference {reference} has no place"
    for role, digest in parsed.blobs.items():
        assert files.has_blob(digest), f"the blob {role} is not in the store"
    assert not kind.diff(parsed.spec, parsed.spec), "a spec does not differ from itself"
    _refuses_unknown_key(kind, body, files)


def _refuses_unknown_key(kind: ArtifactKind, body: Mapping[str, object], files: Files) -> None:
    try:
        kind.parse({**body, "no_such_key_here": 1}, files=files)  # pyright: ignore[reportArgumentType]
    except Invalid as error:
        told = f"{error.message} {[each.message for each in error.problems]} {[each.where for each in error.problems]}"
        assert "no_such_key_here" in told, f"the error does not name the unknown key: {told}"
    else:
        raise AssertionError("an unknown key was accepted")
