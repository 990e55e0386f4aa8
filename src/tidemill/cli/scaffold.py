"""What `tidemill init` writes: the files of a template, and for `rag` the user's own documents with first questions."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from tidemill.cli.headings import headings_of
from tidemill.core.errors import Conflict, Invalid

_READABLE = frozenset({".md", ".markdown", ".html", ".htm", ".txt", ".rst", ".pdf"})
_RENAMED = {"gitignore": ".gitignore", "shop_tools.py.txt": "shop_tools.py"}
_COPIED_INTO = "documents"
_MOST_QUESTIONS = 20
_WRITTEN_QUESTIONS = (
    """# Each question was written for these documents, with the document that answers it and words of a right answer."""
)
_SUGGESTED_QUESTIONS = """# A beginning: these questions were made from the headings of your documents, so they are easy.
# Replace them by what people really ask, and keep gold: the document, relative to the source
# folder, that answers it.
# With a column answer (words of a right answer) and reference: answer in roles, answers can be scored too: contains."""
_WRITTEN_ROLES = "{id: id, input: question, gold: gold, reference: answer}"
_SUGGESTED_ROLES = "{id: id, input: question, gold: gold}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaffold:
    """Files to write, by path below the project's folder, and files to copy there from elsewhere."""

    contents: Mapping[str, bytes]
    copies: Mapping[str, Path] = field(default_factory=dict[str, Path])
    notes: Sequence[str] = ()
    first_question: str = ""


def sample_scaffold(template: str) -> Scaffold:
    """A template with its own sample data."""
    contents = dict(_template_files(files("tidemill.cli.templates").joinpath(template)))
    if template != "rag":
        return Scaffold(contents=contents)
    filled = _fill(contents, source="documents", about=_WRITTEN_QUESTIONS, roles=_WRITTEN_ROLES)
    return Scaffold(contents=filled, first_question="When does the shop open on Sunday?")


def source_scaffold(folder: Path, source: Path) -> Scaffold:
    """The template `rag` over the user's own documents. Raises `Invalid` when there are none that can be read."""
    documents, left_out = _documents(source)
    inside = source.resolve().is_relative_to(folder.resolve()) and source.resolve() != folder.resolve()
    copies = {} if inside else {f"{_COPIED_INTO}/{name}": file for name, file in documents.items()}
    place = source.resolve().relative_to(folder.resolve()).as_posix() if inside else _COPIED_INTO
    rows = first_questions(documents)
    contents = {
        path: content
        for path, content in _template_files(files("tidemill.cli.templates").joinpath("rag"))
        if not path.startswith(f"{_COPIED_INTO}/")
    }
    filled = _fill(contents, source=json.dumps(place, ensure_ascii=False), about=_SUGGESTED_QUESTIONS, roles=_SUGGESTED_ROLES)
    notes = [f"copied {len(copies)} documents from {source} to {_COPIED_INTO}/"] if copies else []
    if left_out:
        listed = ", ".join(f"{ending or 'no ending'} ({number})" for ending, number in left_out.most_common(6))
        notes.append(f"left out what cannot be read as a document: {listed}")
    notes.append(f"data/questions.csv has {len(rows)} questions made from headings: replace them by real ones")
    return Scaffold(
        contents={**filled, "data/questions.csv": _as_csv(rows)}, copies=copies, notes=notes, first_question=rows[0]["question"]
    )


def first_questions(documents: Mapping[str, Path]) -> list[dict[str, str]]:
    """Up to 20 questions, taken in turn from each document's headings."""
    titles = {name: iter(headings_of(file)) for name, file in list(documents.items())[: _MOST_QUESTIONS * 5]}
    rows, asked = list[dict[str, str]](), set[str]()
    while titles and len(rows) < _MOST_QUESTIONS:
        for name, left in list(titles.items()):
            title = next(left, None)
            if title is None:
                del titles[name]
            elif title.casefold() not in asked and len(rows) < _MOST_QUESTIONS:
                asked.add(title.casefold())
                rows.append({"id": f"q{len(rows) + 1:02}", "question": f"What is said about {title}?", "gold": name})
    return rows


def write(scaffold: Scaffold, folder: Path, *, force: bool) -> list[str]:
    """Write the files; the paths written. Raises `Conflict`, before anything is written, when one exists."""
    paths = [*scaffold.contents, *scaffold.copies]
    existing = [path for path in paths if (folder / path).exists()]
    if existing and not force:
        shown = ", ".join(existing[:5]) + (f" and {len(existing) - 5} more" if len(existing) > 5 else "")
        raise Conflict(
            f"{shown} exist{'s' if len(existing) == 1 else ''} already",
            where=str(folder),
            hint="Choose another folder, or --force.",
        )
    try:
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            content = scaffold.contents.get(path)
            (folder / path).write_bytes(scaffold.copies[path].read_bytes() if content is None else content)
    except OSError as error:
        raise Invalid(f"cannot be written: {error.strerror}", where=str(error.filename or folder)) from error
    return paths


def _template_files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for each in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if each.is_dir() and each.name != "__pycache__":
            yield from _template_files(each, f"{prefix}{each.name}/")
        elif each.is_file() and not each.name.endswith(".pyc"):
            yield prefix + _RENAMED.get(each.name, each.name), each.read_bytes()


def _fill(contents: Mapping[str, bytes], *, source: str, about: str, roles: str) -> dict[str, bytes]:
    values = {"__SOURCE__": source, "__ABOUT_QUESTIONS__": about, "__ROLES__": roles}
    filled = dict(contents)
    for path, content in contents.items():
        if path.endswith(".yaml"):
            text = content.decode()
            for name, value in values.items():
                text = text.replace(name, value)
            filled[path] = text.encode()
    return filled


def _documents(source: Path) -> tuple[dict[str, Path], Counter[str]]:
    if source.is_file():
        raise Invalid(f"{source} is a file", hint="Name the folder that it is in.")
    if not source.is_dir():
        raise Invalid(f"there is no folder {source}", hint="Name the folder that holds your documents.")
    found, left_out = dict[str, Path](), Counter[str]()
    for parent, folders, names in os.walk(source):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(each for each in names if not each.startswith(".")):
            file = Path(parent, name)
            if file.suffix.lower() not in _READABLE:
                left_out[file.suffix.lower()] += 1
            elif file.is_file():
                found[PurePosixPath(file.relative_to(source).as_posix()).as_posix()] = file
    if not found:
        endings = " ".join(sorted(_READABLE))
        raise Invalid(f"{source} holds no document that can be read", hint=f"Files that end in {endings} are read.")
    return found, left_out


def _as_csv(rows: Sequence[Mapping[str, str]]) -> bytes:
    written = io.StringIO()
    writer = csv.DictWriter(written, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue().encode()
