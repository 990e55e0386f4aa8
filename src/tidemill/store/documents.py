"""The files of a project folder that say what the registry has: readable, and to be applied as they are."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from sqlalchemy import Connection

from tidemill.core.errors import NotFound, TidemillError
from tidemill.core.extend import ArtifactKind, Surroundings
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.core.yaml_text import dump_document
from tidemill.store.blobs import Blobs
from tidemill.store.config import list_configs
from tidemill.store.material import materialise
from tidemill.store.registry import find_version, list_artifacts

FOLDER = "tidemill"


def documents_of(
    db: Connection, project: str, *, kinds: Mapping[str, ArtifactKind], blobs: Blobs, only: tuple[str, ...] = ()
) -> Iterator[tuple[str, bytes]]:
    """Each file by its path from the folder's root: a document for each artifact's latest version, and what they name.

    What no document can say, or whose blob is gone, is left out.
    """
    wanted = [parse_ref(each) for each in only]
    yield "tidemill.toml", f'project = "{project}"\n'.encode()
    written: set[str] = set()
    for version in _versions(db, project, wanted):
        kind = kinds.get(version.kind)
        if kind is None:
            continue
        try:
            made = materialise(kind, version, around=Surroundings(blobs=blobs))
        except (TidemillError, KeyError):
            continue
        text = document_text(version.kind, version.name, made.body, version=version)
        files = {f"{FOLDER}/{version.kind}-{version.name}.yaml": text.encode()}
        files |= {posixpath.normpath(f"{FOLDER}/{path}"): content for path, content in made.files.items()}
        for path, content in {**files, **made.modules}.items():
            if path not in written and not path.startswith(("/", "..")):
                written.add(path)
                yield path, content
    for config in () if only else list_configs(db, project):
        tail = f"-{config.environment}" if config.environment else ""
        outside: dict[str, Json] = {"environment": config.environment} if config.environment else {}
        head = {"description": config.description, "tags": dict(config.tags), "owner": config.owner}
        body = {**{key: each for key, each in head.items() if each}, **outside, **config.spec}
        yield f"{FOLDER}/{config.kind}-{config.name}{tail}.yaml", dump_document(config.kind, config.name, body).encode()


def document_text(kind: str, name: str, body: JsonObject, *, version: Version) -> str:
    """A document as YAML: kind and name, what stands outside the digest, then the body."""
    head: dict[str, Json] = {"description": version.description, "tags": dict(version.tags), "owner": version.owner}
    return dump_document(kind, name, {**{key: each for key, each in head.items() if each}, **body})


def _versions(db: Connection, project: str, wanted: list[Ref]) -> Iterator[Version]:
    if wanted:
        for ref in wanted:
            found = find_version(db, project, ref)
            if found is None:
                raise NotFound(f"there is no {ref} in project {project!r}")
            yield found
        return
    cursor: str | None = None
    while True:
        page = list_artifacts(db, project, limit=500, cursor=cursor)
        yield from (each.latest for each in page.items)
        if page.next is None:
            return
        cursor = page.next
