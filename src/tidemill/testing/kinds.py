"""The kit for artifact kinds."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from tidemill.core.difference import MOST_LINES
from tidemill.core.digests import canonical
from tidemill.core.errors import Invalid
from tidemill.core.extend import ArtifactKind, ExplainsChanges, Files, Surroundings
from tidemill.core.json import JsonObject, dump_json
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.store.changes import difference_between
from tidemill.store.material import materialise, says
from tidemill.store.registry import digest_of


def check_artifact_kind(kind: ArtifactKind, *, body: JsonObject, files: Files, other: JsonObject | None = None) -> None:
    """`body` parses to a canonical spec, the same each time; an unknown key is refused, naming it.

    With `other`, a body that says something else: the difference of both is told, in either direction.
    """
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
    _tells_changes(kind, body, other, files)
    _comes_back(kind, body, files)
    _refuses_unknown_key(kind, body, files)


class _Kept:
    """Remembers the blobs that a kind puts, and gives them back."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._content: dict[str, bytes] = {}
        self._written: dict[str, bytes] = {}

    def write(self, content: Mapping[str, bytes]) -> None:
        self._written = {posixpath.normpath(path): each for path, each in content.items()}

    def read(self, path: str) -> bytes:
        kept = self._written.get(posixpath.normpath(path))
        return self._files.read(path) if kept is None else kept

    def list(self, folder: str) -> Sequence[str]:
        inside = [path for path in self._written if path.startswith(f"{posixpath.normpath(folder)}/")]
        return sorted(inside) or self._files.list(folder)

    def put_blob(self, content: bytes) -> str:
        digest = self._files.put_blob(content)
        self._content[digest] = content
        return digest

    def has_blob(self, digest: str) -> bool:
        return self._files.has_blob(digest)

    def get(self, digest: str) -> bytes:
        return self._content[digest]


def _tells_changes(kind: ArtifactKind, body: JsonObject, other: JsonObject | None, files: Files) -> None:
    """Nothing of the same twice; of two different ones lines and values that fit a screen and a request."""
    kept = _Kept(files)
    version = _version_of(kind, body, kept)
    if isinstance(kind, ExplainsChanges):
        assert not kind.changes(version, version, blobs=kept), "a version does not differ from itself"
    if other is None:
        return
    second = _version_of(kind, other, kept)
    for old, new in ((version, second), (second, version)):
        found = difference_between(kind, old, new, blobs=kept)
        assert found.lines, f"nothing is told of what changed from {old.spec} to {new.spec}"
        assert all(isinstance(line, str) and line.strip() for line in found.lines), f"an empty line: {found.lines}"
        assert all(each.path for each in found.fields), f"a value without a place: {found.fields}"
        assert len(found.bounded_lines()) <= MOST_LINES
        dump_json(found.as_json())


def _version_of(kind: ArtifactKind, body: JsonObject, files: Files) -> Version:
    parsed = kind.parse(body, files=files)
    refs = dict.fromkeys(parsed.references.values(), "")
    return Version(
        project="default",
        kind=kind.name,
        name="kept",
        number=1,
        digest=digest_of(kind.name, spec=parsed.spec, refs=refs, blobs=parsed.blobs),
        spec=parsed.spec,
        refs=refs,
        blobs=parsed.blobs,
    )


def _comes_back(kind: ArtifactKind, body: JsonObject, files: Files) -> None:
    """What a version is made into says the version again: to a project that has no such document, and to this one."""
    kept = _Kept(files)
    parsed = kind.parse(body, files=kept)
    version = Version(
        project="default",
        kind=kind.name,
        name="kept",
        number=1,
        digest="",
        spec=parsed.spec,
        refs=dict.fromkeys(parsed.references.values(), ""),
        blobs=parsed.blobs,
    )
    for here in (None, body):
        made = materialise(kind, version, around=Surroundings(blobs=kept, body=here, files=kept))
        kept.write(made.files)
        again = kind.parse(made.body, files=kept)
        assert says(again, version), f"the document that is made says something else: {made.body}"
        kept.write({})


def _refuses_unknown_key(kind: ArtifactKind, body: Mapping[str, object], files: Files) -> None:
    try:
        kind.parse({**body, "no_such_key_here": 1}, files=files)  # pyright: ignore[reportArgumentType]
    except Invalid as error:
        told = f"{error.message} {[each.message for each in error.problems]} {[each.where for each in error.problems]}"
        assert "no_such_key_here" in told, f"the error does not name the unknown key: {told}"
    else:
        raise AssertionError("an unknown key was accepted")
