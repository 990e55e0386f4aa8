"""The files of a project: every YAML under its paths, and what they name by a key such as `path`, `source` or `file`.

Nothing is judged here. A name that leads nowhere is left out, and the server, which checks everything, says so.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tidemill.core.digests import digest_file
from tidemill.core.documents import load_documents
from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import Json, JsonObject
from tidemill.core.settings import Settings

_SPEC_ENDINGS = (".yaml", ".yml")
_NAMES_A_FILE = ("path", "source", "script", "openapi", "file", "tokenizer")
Entry: TypeAlias = "str | Mapping[str, str]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """A project's files, by path relative to `root` with `/`: specs as text, everything else by digest.

    `notes` are files that could not be read; the rest is fine.
    """

    root: Path
    specs: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict[str, str])
    notes: tuple[Problem, ...] = ()

    def manifest(self) -> dict[str, Entry]:
        """The `files` of a plan: text, or `{"blob": digest}`."""
        blobs: dict[str, Entry] = {path: {"blob": digest} for path, digest in self.digests.items()}
        return {**blobs, **self.specs}


def collect(settings: Settings) -> Collected:
    """Read the project's specs and find the files that they name.

    Raises `Invalid` when there is no spec at all, or when one cannot be read.
    """
    specs, digests, notes = dict[str, str](), dict[str, str](), list[Problem]()
    for file in _spec_files(settings):
        path = file.relative_to(settings.root).as_posix()
        specs[path] = _read_spec(file, path)
    for path, file in sorted(dict(_named_files(settings.root, specs)).items()):
        if path not in specs:
            try:
                digests[path] = digest_file(file)
            except OSError as error:
                notes.append(Problem(message=f"not read: {error.strerror}", where=path, hint="The rest was read."))
    return Collected(root=settings.root, specs=specs, digests=digests, notes=tuple(notes))


def has_specs(settings: Settings) -> bool:
    """Whether the project has any file of specs."""
    return bool(_specs_below(settings))


def _spec_files(settings: Settings) -> list[Path]:
    found = _specs_below(settings)
    if not found:
        raise Invalid(
            f"there is no *.yaml under {', '.join(settings.paths)}",
            where=str(settings.root),
            hint="Go to the project's folder, or make one: tidemill init DIR --template rag --source mydocs/",
        )
    return found


def _specs_below(settings: Settings) -> list[Path]:
    found = list[Path]()
    for path in settings.paths:
        place = settings.root / path
        if place.is_file():
            found.append(place)
        else:
            found += [each for each in _files_below(place) if each.suffix in _SPEC_ENDINGS]
    return sorted(set(found))


def _read_spec(file: Path, path: str) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Invalid(f"cannot be read: {error.strerror}", where=path) from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        load_documents(content, path=path)  # says which byte, and on which line
        raise


def _named_files(root: Path, specs: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Each file that a spec names, and how the server is told of it: relative to `root`."""
    for path, text in specs.items():
        for body in _bodies(text, path):
            for name in _names(body):
                for file in _files_at(root, posixpath.dirname(path), name):
                    yield file.relative_to(root).as_posix(), file


def _bodies(text: str, path: str) -> Iterable[JsonObject]:
    try:
        return [each.body for each in load_documents(text, path=path)]
    except Invalid:
        return []  # the server gets the same text and says what is wrong with it


def _names(body: JsonObject) -> Iterator[str]:
    for key in _NAMES_A_FILE:
        value: Json = body.get(key)
        if isinstance(value, Mapping):
            value = value.get("folder")
        if isinstance(value, str):
            yield value


def _files_at(root: Path, folder: str, name: str) -> Iterable[Path]:
    """What a name leads to: beside the spec first, else from the project's folder, which it never leaves."""
    if not name or "\0" in name or posixpath.isabs(name):
        return ()
    for place in (Path(os.path.normpath(root / folder / name)), Path(os.path.normpath(root / name))):
        if not place.is_relative_to(root):
            continue
        if place.is_file():
            return (place,)
        if place.is_dir():
            return _files_below(place)
    return ()


def _files_below(folder: Path) -> Iterator[Path]:
    """Regular files below a folder, without hidden ones; links to folders are not followed."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            file = Path(parent, name)
            if not name.startswith(".") and file.is_file():
                yield file
