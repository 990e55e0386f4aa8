"""From a project's files to canonical content, each mistake with its place. No database is asked here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tidemill.core.documents import SourceDocument, load_documents
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import ArtifactKind
from tidemill.core.records import Parsed
from tidemill.core.suggest import did_you_mean
from tidemill.store.files import FilesFolder


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A document, its kind, and what the kind made of it."""

    document: SourceDocument
    kind: ArtifactKind
    parsed: Parsed


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """Every document that could be parsed, the problems of the others, and the names of those."""

    items: tuple[Prepared, ...]
    problems: tuple[Problem, ...] = ()
    broken: frozenset[str] = frozenset()


def read_documents(files: FilesFolder, paths: Iterable[str]) -> tuple[list[SourceDocument], list[Problem]]:
    """The documents of these files of a project, and what is wrong with the rest."""
    documents: list[SourceDocument] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            documents.extend(load_documents(files.read(path), path=path))
        except Invalid as error:
            problems.extend(error.problems or [Problem(message=error.message, where=path, hint=error.hint)])
    return documents, problems


def prepare(
    *,
    files: FilesFolder,
    documents: Iterable[SourceDocument],
    kinds: Mapping[str, ArtifactKind],
    problems: Sequence[Problem] = (),
) -> Preparation:
    """Parse every document by its kind; `problems` are those already found, as by `read_documents`.

    This reads the files that documents name and puts blobs, so it belongs on a worker thread, outside of any transaction.
    """
    items: list[Prepared] = []
    found = list(problems)
    broken: set[str] = set()
    first: dict[tuple[str, str | None], SourceDocument] = {}
    for document in documents:
        same = first.setdefault((document.bare, document.environment), document)
        mistakes: list[Problem] = []
        if same is not document:
            hint = "Rename one of them, or delete it."
            message = f"{document.bare} stands in these files twice; the first is at {same.where('kind')}"
            mistakes.append(Problem(message=message, where=document.where("kind"), hint=hint))
        else:
            parsed, mistakes = _parse(document, files=files, kinds=kinds)
            if parsed is not None:
                items.append(parsed)
        if mistakes:
            found.extend(mistakes)
            broken.add(document.bare)
    return Preparation(items=tuple(items), problems=tuple(found), broken=frozenset(broken))


def placed(document: SourceDocument, problem: Problem) -> Problem:
    """The problem with the document's name and with `file:line` in place of a place in its body."""
    place = problem.where
    is_place = not place or place in document.lines or place.partition(".")[0] in document.body
    message = problem.message if problem.message.startswith(f"{document.bare}:") else f"{document.bare}: {problem.message}"
    return Problem(message=message, where=document.where(place) if is_place else place, hint=problem.hint)


def _parse(
    document: SourceDocument, *, files: FilesFolder, kinds: Mapping[str, ArtifactKind]
) -> tuple[Prepared | None, list[Problem]]:
    kind = kinds.get(document.kind)
    if kind is None:
        hint = did_you_mean(document.kind, kinds)
        return None, [Problem(message=f"{document.kind!r} is not a known kind", where=document.where("kind"), hint=hint)]
    only = getattr(kind, "only_name", document.name)
    if document.name != only:
        message = f"{document.bare}: a project has one document of kind {document.kind}, and its name is {only}"
        return None, [Problem(message=message, where=document.where("name"), hint=f"Write name: {only}.")]
    if kind.versioned and document.environment is not None:
        message = f"{document.bare}: a {document.kind} is the same in every environment"
        hint = "Leave environment out; what differs by environment is written in a connection."
        return None, [Problem(message=message, where=document.where("environment"), hint=hint)]
    try:
        parsed = kind.parse(document.body, files=files.beside(document.path))
    except Invalid as error:
        problems = error.problems or [Problem(message=error.message, where=error.where, hint=error.hint)]
        return None, [placed(document, each) for each in problems]
    return Prepared(document=document, kind=kind, parsed=parsed), []
