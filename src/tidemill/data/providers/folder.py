"""The connector for a folder of files."""

from __future__ import annotations

import fnmatch
import posixpath
from collections import Counter
from collections.abc import Sequence

from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Files, extension_names
from tidemill.data.source import SourceFile


def read_folder(
    files: Files, folder: str, *, include: Sequence[str], exclude: Sequence[str]
) -> tuple[list[SourceFile], list[Problem]]:
    """Every file below `folder` in a known format, its id relative to the folder; and what was left out.

    Patterns are shell patterns over that id, `*` crossing folders. Hidden files are passed over. Raises `Invalid` for a folder
    that is missing, empty, or holds nothing readable.
    """
    root = posixpath.normpath(folder) if folder.strip() else "."
    if root.startswith(("/", "..")):
        raise Invalid(f"the folder {folder!r} is outside the project", where="source", hint="Give a folder inside it.")
    base = "" if root == "." else root
    paths = files.list(base or ".")
    known = set(extension_names("document_parsers"))
    left_out: Counter[str] = Counter()
    found: list[SourceFile] = []
    for path in paths:
        name = posixpath.relpath(path, root) if base else path
        if _is_hidden(name) or not _is_wanted(name, include=include, exclude=exclude):
            continue
        ending = posixpath.splitext(name)[1].lower().lstrip(".")
        if ending in known:
            found.append(SourceFile(id=name, format=ending, content=files.read(path)))
        else:
            left_out[f".{ending}" if ending else "no ending"] += 1
    if not found:
        why = "is empty" if not paths else "holds no file in a known format"
        raise Invalid(f"the folder {folder!r} {why}", where="source", hint=f"Known formats: {', '.join(sorted(known))}.")
    return found, [_left_out(folder, left_out)] if left_out else []


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _is_wanted(name: str, *, include: Sequence[str], exclude: Sequence[str]) -> bool:
    return not _matches(name, exclude) and (not include or _matches(name, include))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """`*` crosses folders, and `**/` also stands for no folder at all."""
    return any(fnmatch.fnmatchcase(name, form) for each in patterns for form in (each, each.removeprefix("**/")))


def _left_out(folder: str, endings: Counter[str]) -> Problem:
    listed = ", ".join(f"{ending} ({count})" for ending, count in sorted(endings.items()))
    return Problem(
        message=f"files of other formats in {folder} were left out: {listed}",
        where="source",
        hint="Name what you want in source.include, or what you do not in source.exclude.",
    )
