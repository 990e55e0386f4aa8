"""Which weights a model is: base, licence and digest, as far as they can be known from here."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from tidemill.core.digests import digest_file
from tidemill.core.errors import Invalid, MissingExtra
from tidemill.core.extend import extension_names, load_extension
from tidemill.core.json import Json
from tidemill.core.records import Version
from tidemill.models.catalogue import load_catalogue
from tidemill.models.gguf_header import read_gguf_header
from tidemill.models.licences import read_licence

_GROUPS: Mapping[str, str] = {"model": "chat_providers", "embedder": "embed_providers"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelIdentity:
    """What is known of a model's weights; an empty text or None means that it is not known.

    `licence_from` says who states the licence. `digest` is of the file that is served; None for what a
    provider serves remotely. `context` is in tokens.
    """

    name: str = ""
    base: str = ""
    organisation: str = ""
    architecture: str = ""
    size: str = ""
    licence: str = ""
    licence_from: str = ""
    file: str = ""
    digest: str | None = None
    bytes: int | None = None
    context: int | None = None


def identify(version: Version, *, blob_path: Callable[[str], Path]) -> ModelIdentity:
    """The weights behind a model, an embedder or an adapter; of a remote one, what the catalogue knows.

    The licence is the one that it was added with, else that of its file, else that of the catalogue.
    """
    named = str(version.spec.get("model") or "")
    path = _file_of(version, blob_path)
    listed = _of_catalogue(version, named)
    found = listed if path is None or not path.is_file() else _of_file(named, path)
    if not found.licence:
        found = replace(found, licence=listed.licence, licence_from=listed.licence_from)
    added = version.tags.get("licence", "")
    return replace(found, licence=added, licence_from="whoever added it") if added else found


def _of_catalogue(version: Version, name: str) -> ModelIdentity:
    if version.kind == "adapter" or version.spec.get("provider") == "test" or not name:
        return ModelIdentity(name=name)
    entry = load_catalogue().find(name)
    if entry is None:
        return ModelIdentity(name=name)
    licence = entry.verdict.licence
    return ModelIdentity(
        name=name,
        organisation=entry.maker,
        licence=licence,
        licence_from="the catalogue" if licence else "",
        context=entry.context,
    )


def _of_file(named: str, path: Path) -> ModelIdentity:
    stat = path.stat()
    digest = _digest(path, stat.st_mtime_ns, stat.st_size)
    try:
        header: Mapping[str, Json] = read_gguf_header(path) if _is_gguf(path) else {}
    except Invalid:
        header = {}  # the file is served all the same; its digest tells which it is
    architecture = str(header.get("general.architecture") or "")
    stated = str(header.get("general.license") or "")
    licence = read_licence(stated) or stated
    return ModelIdentity(
        name=named or str(header.get("general.name") or ""),
        base=str(header.get("general.base_model.0.name") or header.get("general.name") or ""),
        organisation=str(header.get("general.base_model.0.organization") or header.get("general.organization") or ""),
        architecture=architecture,
        size=str(header.get("general.size_label") or ""),
        licence=licence,
        licence_from="the model file's own header" if licence else "",
        file=path.name,
        digest=digest,
        bytes=stat.st_size,
        context=cast("int | None", header.get(f"{architecture}.context_length")),
    )


def _file_of(version: Version, blob_path: Callable[[str], Path]) -> Path | None:
    digest = version.blobs.get("file") or version.spec.get("file") or version.blobs.get("weights")
    if digest:
        return blob_path(str(digest))
    group, provider = _GROUPS.get(version.kind, ""), str(version.spec.get("provider"))
    if not group or provider not in extension_names(group):
        return None
    find = cast("Callable[[str], Path | None] | None", getattr(load_extension(group, provider), "model_file", None))
    try:
        return None if find is None else find(str(version.spec.get("model") or ""))
    except MissingExtra:
        return None


def _is_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


@functools.lru_cache(maxsize=16)
def _digest(path: Path, changed_ns: int, size: int) -> str:  # noqa: ARG001  (a file that changed is read again)
    return digest_file(path)
