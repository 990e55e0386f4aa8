"""How datasets and indexes join the registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.core.difference import Difference
from tidemill.core.digests import canonical
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import BlobReader, Files, Surroundings, extension_names
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Material, Parsed, Version
from tidemill.core.refs import parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.data.changes import columns_difference, dataset_difference, index_difference, options_difference
from tidemill.data.dataset import canonical_rows
from tidemill.data.material import dataset_material, index_material
from tidemill.data.providers.folder import read_folder
from tidemill.data.providers.python_mapping import read_mapping
from tidemill.data.rows import Row, read_rows
from tidemill.data.source import SourceFile, check_file
from tidemill.data.specs import DatasetSpec, IndexSpec, SourceSpec, read_spec


class DatasetKind:
    """`kind: dataset`. Spec: `columns` (name to type), `roles`, `rows_count`; blob `rows`: typed canonical JSON Lines."""

    name = "dataset"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:
        """Read the rows and check them. Raises `Invalid` with every problem found, each with its line."""
        spec = read_spec(DatasetSpec, body)
        canonical_spec, lines = canonical_rows(
            _rows(spec, files), roles=spec.roles, where="rows" if spec.path is None else "path"
        )
        return Parsed(spec=canonical_spec, blobs={"rows": files.put_blob(lines)})

    def materialise(self, version: Version, *, around: Surroundings) -> Material:
        """The rows where they stand now: inline, or in their file."""
        return dataset_material(version, around=around)

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:  # noqa: ARG002  (the Protocol)
        """A dataset references nothing."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """The number of rows, columns and roles that changed."""
        return columns_difference(old, new).lines

    def changes(self, old: Version, new: Version, *, blobs: BlobReader) -> Difference:
        """Which rows came, went and changed, and columns and roles."""
        return dataset_difference(old, new, blobs=blobs)


class IndexKind:
    """`kind: index`. Spec: `source`, `chunk`, `embed`, `search`, `documents_count`.

    Blob `documents`: canonical JSON `[{"id", "format", "blob"}]`; each document's original bytes are a blob of their own.
    """

    name = "index"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:
        """Collect the documents. Files that cannot be read become notes; raises `Invalid` when none can."""
        spec = read_spec(IndexSpec, body)
        source = spec.source
        _check_index(spec, source)
        found, notes = _collect(source, files)
        unreadable = {each.id: problem for each in found if (problem := check_file(each)) is not None}
        if len(unreadable) == len(found):
            raise Invalid("none of the documents can be read", where="source", problems=(*unreadable.values(),))
        readable = [each for each in found if each.id not in unreadable]
        manifest: list[Json] = [
            {"id": each.id, "format": each.format, "blob": files.put_blob(each.content)} for each in readable
        ]
        return Parsed(
            spec=_canonical_index(spec, source, count=len(readable)),
            references={"embed": spec.embed} if spec.embed else {},
            blobs={"documents": files.put_blob(canonical(manifest))},
            notes=(*notes, *unreadable.values()),
        )

    def materialise(self, version: Version, *, around: Surroundings) -> Material:
        """The options, and the documents as files."""
        return index_material(version, blobs=around.blobs)

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:  # noqa: ARG002  (the Protocol)
        """Nothing that the reference's kind does not say already."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """Options that changed, and the number of documents."""
        return options_difference(old, new).lines

    def changes(self, old: Version, new: Version, *, blobs: BlobReader) -> Difference:
        """Which documents came, went and changed, and options."""
        return index_difference(old, new, blobs=blobs)


def _rows(spec: DatasetSpec, files: Files) -> list[tuple[str, Row]]:
    if (spec.path is None) == (spec.rows is None):
        raise Invalid("a dataset needs either path or rows", where="path", hint="Write path: questions.jsonl.")
    if spec.path is None:
        return [(f"rows.{number}", row) for number, row in enumerate(spec.rows or ())]
    try:
        content = files.read(spec.path)
    except Invalid as error:
        raise Invalid(error.message, where=error.where or "path", hint=error.hint) from error
    return read_rows(content, path=spec.path, format=spec.format)


def _check_index(spec: IndexSpec, source: SourceSpec) -> None:
    problems: list[Problem] = []
    if (source.folder is None) == (source.python is None):
        problems.append(Problem(message="a source is either a folder or python", where="source", hint="Write source: docs/."))
    if source.python is not None and (source.include or source.exclude):
        problems.append(Problem(message="include and exclude are for a folder", where="source"))
    formats = extension_names("document_parsers")
    if source.format is not None and source.format not in formats:
        hint = did_you_mean(source.format, formats)
        problems.append(Problem(message=f"{source.format!r} is not a known format", where="source.format", hint=hint))
    if source.format is not None and source.python is None:
        problems.append(Problem(message="format is for a python source; a file's ending says its own", where="source.format"))
    strategies = extension_names("chunkers")
    if spec.chunk.strategy not in strategies:
        hint = did_you_mean(spec.chunk.strategy, strategies)
        problems.append(Problem(message=f"unknown strategy {spec.chunk.strategy!r}", where="chunk.strategy", hint=hint))
    if spec.chunk.overlap * 2 > spec.chunk.max_chars:
        problems.append(Problem(message="overlap is more than half of max_chars", where="chunk.overlap"))
    if spec.embed is None and spec.search.mode in {"vector", "hybrid"}:
        hint = "Name an embedder in embed, or search by fulltext."
        problems.append(Problem(message=f"{spec.search.mode} search needs an embedder", where="search.mode", hint=hint))
    if spec.embed is not None:
        problems.extend(_reference_problem(spec.embed))
    if problems:
        first = problems[0]
        raise Invalid(first.message, where=first.where, hint=first.hint, problems=problems)


def _reference_problem(reference: str) -> list[Problem]:
    try:
        if "/" not in reference:
            raise Invalid(f"{reference!r} is not a reference", hint=f"Write embedder/{reference}.")
        parse_ref(reference, kind="embedder")
    except Invalid as error:
        return [Problem(message=error.message, where="embed", hint=error.hint)]
    return []


def _collect(source: SourceSpec, files: Files) -> tuple[list[SourceFile], list[Problem]]:
    if source.python is not None:
        return read_mapping(source.python, format=source.format or "rst"), []
    try:
        return read_folder(files, source.folder or "", include=source.include, exclude=source.exclude)
    except Invalid as error:
        raise Invalid(error.message, where="source", hint=error.hint, problems=error.problems) from error


def _canonical_index(spec: IndexSpec, source: SourceSpec, *, count: int) -> JsonObject:
    mode = spec.search.mode or ("hybrid" if spec.embed else "fulltext")
    return {
        "source": source.model_dump(exclude_defaults=True),
        "chunk": spec.chunk.model_dump(),
        "embed": spec.embed,
        "search": {"mode": mode, "k": spec.search.k},
        "documents_count": count,
    }
