"""The files of a project folder as a client sent them: a text each, or the digest of a blob that it put before."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Self, TypeAlias

from tidemill.core.errors import Invalid, NotFound, Problem
from tidemill.core.json import Json
from tidemill.core.suggest import did_you_mean
from tidemill.store.blobs import Blobs

Content: TypeAlias = bytes | str
"""Bytes, or the digest of a blob."""


class FilesFolder:
    """Implements `core.extend.Files` over what a client sent; nothing else can be named.

    A path is a name in what was sent, relative to the project's folder. `beside` looks beside a spec first.
    """

    def __init__(self, entries: Mapping[str, Content], blobs: Blobs) -> None:
        self._entries = {_normal(path): content for path, content in entries.items()}
        self._blobs = blobs

    @classmethod
    def from_json(cls, files: Json, blobs: Blobs) -> Self:
        """Out of a request's `files`: `{PATH: TEXT | {"blob": DIGEST}}`. Raises `Invalid` for any other form."""
        if not isinstance(files, Mapping):
            raise Invalid("files is not a mapping of paths", hint='Send {"files": {"tidemill/answer.yaml": "…"}}.')
        entries: dict[str, Content] = {}
        for path, content in files.items():
            if isinstance(content, str):
                entries[path] = content.encode("utf-8", "surrogatepass")
            elif isinstance(content, Mapping) and isinstance(digest := content.get("blob"), str) and len(content) == 1:
                entries[path] = digest
            else:
                raise Invalid(f"the content of {path!r} has no form that is known", hint='Send text or {"blob": DIGEST}.')
        gone = blobs.missing(each for each in entries.values() if isinstance(each, str))
        if gone:
            problems = [Problem(message=f"blob {digest} was not sent") for digest in gone]
            raise Invalid(f"{len(gone)} blobs were not sent", problems=problems, hint="Put them first: PUT …/blobs/DIGEST.")
        return cls(entries, blobs)

    def beside(self, spec: str) -> FilesBeside:
        """The same files, as the spec at this path names them: relative to its own folder, else to the project's."""
        return FilesBeside(self, posixpath.dirname(spec))

    def over(self, written: Mapping[str, bytes]) -> FilesFolder:
        """The same files with these written over them."""
        return FilesFolder({**self._entries, **written}, self._blobs)

    def holds(self, path: str) -> bool:
        """Whether there is a file or a folder of this name."""
        inside = _normal(path)
        return inside in self._entries or any(each.startswith(f"{inside}/") for each in self._entries)

    def is_file(self, path: str) -> bool:
        """Whether there is a file of this name."""
        return _normal(path) in self._entries

    def read(self, path: str) -> bytes:
        """A file's content. Raises `Invalid` when there is none, naming the nearest that exists."""
        content = self._entries.get(_normal(path))
        if content is None:
            raise Invalid(f"there is no file {path!r}", hint=did_you_mean(_normal(path), self._entries))
        if isinstance(content, bytes):
            return content
        try:
            return self._blobs.get(content)
        except NotFound as error:
            raise Invalid(f"the content of {path!r} was not sent", hint=f"Put it first: PUT …/blobs/{content}.") from error

    def list(self, folder: str) -> Sequence[str]:
        """Every file below `folder`, sorted. Raises `Invalid` when there is no such folder."""
        inside = _normal(folder)
        prefix = "" if inside == "." else f"{inside}/"
        found = sorted(path for path in self._entries if path.startswith(prefix))
        if not found:
            folders = {parent for path in self._entries for parent in _parents(path)}
            raise Invalid(f"there is no folder {folder!r}, or no file in it", hint=did_you_mean(inside, folders))
        return found

    def put_blob(self, content: bytes) -> str:
        """Keep content in the blob store; its digest."""
        return self._blobs.put(content)

    def has_blob(self, digest: str) -> bool:
        """Whether the blob store holds it."""
        return self._blobs.has(digest)


class FilesBeside:
    """Implements `core.extend.Files` for one spec."""

    def __init__(self, files: FilesFolder, folder: str) -> None:
        self._files = files
        self._folder = folder

    def read(self, path: str) -> bytes:
        """A file's content. Raises `Invalid` when there is none, naming the nearest that exists."""
        return self._files.read(self._place(path))

    def list(self, folder: str) -> Sequence[str]:
        """Every file below `folder`, sorted. Raises `Invalid` when there is no such folder."""
        place = posixpath.normpath(self._place(folder))
        return [posixpath.normpath(posixpath.join(folder, posixpath.relpath(each, place))) for each in self._files.list(place)]

    def place(self, path: str) -> str:
        """Where a file that the spec names stands, or would, from the project's folder. Raises `Invalid` for one outside."""
        place = self._place(path)
        return _normal(place if self._files.holds(place) else posixpath.join(self._folder, path))

    def put_blob(self, content: bytes) -> str:
        """Keep content in the blob store; its digest."""
        return self._files.put_blob(content)

    def has_blob(self, digest: str) -> bool:
        """Whether the blob store holds it."""
        return self._files.has_blob(digest)

    def _place(self, path: str) -> str:
        here = posixpath.normpath(posixpath.join(self._folder, path)) if path else ""
        is_inside = here and not here.startswith(("/", "..")) and "\\" not in path and "\0" not in path
        return here if is_inside and self._files.holds(here) else path


def _normal(path: str) -> str:
    normal = posixpath.normpath(path) if path else ""
    if not normal or normal.startswith(("/", "../")) or normal == ".." or "\\" in path or "\0" in path:
        raise Invalid(f"the path {path!r} leaves the project's folder", hint="Write it relative to that folder, with /.")
    return normal


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
