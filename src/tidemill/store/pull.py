"""Registry changes written back into a project's files, so that a plan of them is empty again.

Nothing is written here: each file's new content is made and read back, and whoever has the files writes all of them or none.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from tidemill.core.digests import digest_bytes, digest_json
from tidemill.core.documents import SourceDocument, load_documents, node_value
from tidemill.core.errors import Conflict, Invalid, NotFound, Problem, TidemillError
from tidemill.core.extend import ArtifactKind, Files, Surroundings
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Material, Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.core.yaml_edit import edit_document, line_ending
from tidemill.core.yaml_nodes import compose
from tidemill.store import applied
from tidemill.store.blobs import Blobs
from tidemill.store.changes import Entry
from tidemill.store.config import list_configs
from tidemill.store.documents import document_text
from tidemill.store.files import FilesFolder
from tidemill.store.material import materialise, says
from tidemill.store.merge import candidates
from tidemill.store.plan import make_plan
from tidemill.store.prepare import Preparation
from tidemill.store.registry import find_version, list_artifacts

_PULLED = frozenset({"registry", "both", "behind"})
_OUTSIDE = ("description", "tags", "owner")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What to pull: `only` these references (none: all), `theirs` over what was changed in the files; where new ones go."""

    only: tuple[str, ...] = ()
    theirs: bool = False
    folder: str = "tidemill"


@dataclass(slots=True)
class Pulled:
    """`files` are new contents by path, `before` the digest that each must have now (None: no such file).

    `changes` say which artifact changes in which file, `places` the file of each; `notes` what could not be written back.
    """

    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    before: dict[str, str | None] = field(default_factory=dict[str, str | None])
    changes: list[dict[str, Json]] = field(default_factory=list[dict[str, Json]])
    places: dict[applied.Key, str] = field(default_factory=dict[applied.Key, str])
    notes: list[Problem] = field(default_factory=list[Problem])


def plan_pull(
    db: Connection,
    project: str,
    *,
    files: FilesFolder,
    preparation: Preparation,
    kinds: Mapping[str, ArtifactKind],
    blobs: Blobs,
    environment: str,
    wanted: Wanted,
) -> Pulled:
    """What a pull would write.

    Raises `Conflict`, naming each, where the files were changed too, unless the registry's are wanted; `NotFound` for a
    reference that the registry does not have.
    """
    made = make_plan(db, project=project, kinds=kinds, environment=environment, preparation=preparation)
    drift = applied.find_drift(db, project, made.entries)
    only = {_checked(db, project, each, kinds) for each in wanted.only}
    entries = {applied.key_of(each): each for each in made.entries}
    moved = {(*_split(each.ref), each.environment or ""): each for each in drift if each.case in _PULLED}
    chosen = [key for key in entries if (key in moved or f"{key[0]}/{key[1]}" in only) and _is_meant(key, only)]
    _refuse_lost(
        [(entries[key], moved.get(key)) for key in chosen], made_changes={each.ref for each in made.changes}, wanted=wanted
    )
    work = _Pulling(db, project, files=files, kinds=kinds, blobs=blobs, wanted=wanted, preparation=preparation)
    there = applied.standing(db, project, chosen)
    for key in chosen:
        if key in there:
            work.update(entries[key], key)
    said = applied.said_paths(db, project)
    for key in _news(db, project, kinds):
        if key not in entries and (f"{key[0]}/{key[1]}" in only or (not only and key not in said)):
            work.create(key)
    return work.pulled


def _checked(db: Connection, project: str, text: str, kinds: Mapping[str, ArtifactKind]) -> str:
    ref = parse_ref(text)
    if ref.version is not None:
        raise Invalid(f"{text} names a version, and the files say the latest", hint=f"Write {ref.bare}.")
    kind = kinds.get(ref.kind)
    is_known = (
        find_version(db, project, ref) is not None
        if kind is None or kind.versioned
        else any(each.name == ref.name for each in list_configs(db, project, kind=ref.kind))
    )
    if kind is None or not is_known:
        raise NotFound(f"there is no {ref.bare} in project {project!r} that files could say", hint="List them: tidemill get")
    return ref.bare


def _split(bare: str) -> tuple[str, str]:
    kind, _, name = bare.partition("/")
    return kind, name


def _is_meant(key: applied.Key, only: set[str]) -> bool:
    return not only or f"{key[0]}/{key[1]}" in only


def _refuse_lost(chosen: Sequence[tuple[Entry, applied.Drift | None]], *, made_changes: set[str], wanted: Wanted) -> None:
    """Raise `Conflict` for what the files say and no apply ever said."""
    lost = [
        (entry, drift)
        for entry, drift in chosen
        if (drift is not None and drift.case == "both") or (drift is None and entry.item.document.bare in made_changes)
    ]
    if lost and not wanted.theirs:
        problems = [
            Problem(
                message=f"{entry.item.document.bare} was changed here and was not applied", where=entry.item.document.where("")
            )
            for entry, _ in lost
        ]
        raise Conflict(
            f"the files say what was not applied: {', '.join(each.item.document.bare for each, _ in lost[:3])}",
            hint="Keep yours: tidemill apply. Take the registry's: tidemill pull --theirs",
            problems=problems,
        )


def _news(db: Connection, project: str, kinds: Mapping[str, ArtifactKind]) -> Iterator[applied.Key]:
    """Everything that files could say, by kind and name."""
    cursor: str | None = None
    while True:
        page = list_artifacts(db, project, limit=500, cursor=cursor)
        for each in page.items:
            if each.latest.kind in kinds:
                yield each.latest.kind, each.latest.name, ""
        if page.next is None:
            break
        cursor = page.next
    for config in list_configs(db, project):
        if config.kind in kinds:
            yield config.kind, config.name, config.environment or ""


class _Pulling:
    """Makes the new content of files, one artifact after the other, each read back before the next."""

    def __init__(
        self,
        db: Connection,
        project: str,
        *,
        files: FilesFolder,
        kinds: Mapping[str, ArtifactKind],
        blobs: Blobs,
        wanted: Wanted,
        preparation: Preparation,
    ) -> None:
        self._db = db
        self._project = project
        self._files = files
        self._kinds = kinds
        self._blobs = blobs
        self._wanted = wanted
        self._documents = [each.document for each in preparation.items]
        self.pulled = Pulled()

    def update(self, entry: Entry, key: applied.Key) -> None:
        """Change a document so that it says what the registry has."""
        document, kind = entry.item.document, entry.item.kind
        version = self._version(key)
        if version is None:
            return
        old = replace(version, spec=entry.item.parsed.spec, blobs=entry.item.parsed.blobs)
        try:
            body, material = self._body(document, kind, old, version)
            self._edit(document, body, version)
        except (TidemillError, KeyError) as error:
            self._cannot(document.bare, error, where=document.where(""))
            return
        modules = _modules(self._kinds[key[0]], old, self._blobs)
        self._put_files(document.path, material, modules)
        before = None if entry.version is None else _number(self._db, entry.version)
        self._note(key, version, "update", document.path, before=before)

    def create(self, key: applied.Key) -> None:
        """Write a document that the files do not have."""
        version = self._version(key)
        if version is None:
            return
        kind, bare = self._kinds[key[0]], f"{key[0]}/{key[1]}"
        path = self._place_for(key)
        try:
            material = materialise(kind, version, around=Surroundings(blobs=self._blobs))
            files = self._files.over(self.pulled.files)
            beside = files.over({posixpath.normpath(posixpath.join(posixpath.dirname(path), name)): content
                                 for name, content in material.files.items()}).beside(path)  # fmt: skip
            self._check(kind, material, material.body, version, beside)
            clash = [name for name in material.files if files.holds(files.beside(path).place(name))]
            if clash:
                raise Conflict(f"there is a file {clash[0]} already", hint="Move it, then pull again.")
        except (TidemillError, KeyError) as error:
            self._cannot(bare, error, where=path)
            return
        outside: JsonObject = {"environment": key[2]} if key[2] else {}
        text = document_text(key[0], key[1], {**outside, **material.body}, version=version)
        there = self._text(path)
        if there is not None and there.strip():
            ending = line_ending(there)
            end = "" if there.endswith("\n") else ending
            text = there + end + f"---\n{text}".replace("\n", ending)
        self._write(path, text.encode())
        self._put_files(path, material, {})
        self._note(key, version, "create", path, before=None)

    def _version(self, key: applied.Key) -> Version | None:
        """What the registry has; configuration in the form of a version."""
        kind, name, environment = key
        if self._kinds[kind].versioned:
            return find_version(self._db, self._project, Ref(kind=kind, name=name))
        for config in list_configs(self._db, self._project, kind=kind):
            if (config.name, config.environment or "") == (name, environment):
                return Version(
                    project=self._project, kind=kind, name=name, number=0, digest=digest_json(config.spec), spec=config.spec,
                    description=config.description, tags=config.tags, owner=config.owner,
                )  # fmt: skip
        return None

    def _body(self, document: SourceDocument, kind: ArtifactKind, old: Version, new: Version) -> tuple[JsonObject, Material]:
        """The body to write and the files that it names: the nearest to what stands there that says what is kept."""
        here = self._files.over(self.pulled.files)
        around = Surroundings(blobs=self._blobs, body=document.body, files=here.beside(document.path))
        material = materialise(kind, new, around=around)
        if says(kind.parse(document.body, files=here.beside(document.path)), new):
            return document.body, Material(body=document.body)
        was = materialise(kind, old, around=around).body
        over = {here.beside(document.path).place(name): content for name, content in material.files.items()}
        beside = here.over(over).beside(document.path)
        problem: TidemillError = Invalid("no document says this", hint="Write it by hand.")
        for body in candidates(document.body, was, material.body):
            try:
                self._check(kind, material, body, new, beside)
            except TidemillError as error:
                problem = error
            else:
                return body, material
        raise problem

    def _check(self, kind: ArtifactKind, material: Material, body: JsonObject, version: Version, files: Files) -> None:
        """Raise `Invalid` unless the body, read as a file is, says the version."""
        parsed = kind.parse(body, files=files)
        if not says(parsed, _comparable(kind, version, parsed.references), without_code=bool(material.modules)):
            raise Invalid(f"no document can say what {version.bare} has", hint="See it: tidemill show " + version.bare)

    def _edit(self, document: SourceDocument, body: JsonObject, version: Version) -> None:
        """Put a body into the text of its file."""
        text = self._text(document.path)
        assert text is not None
        index, now = _find(text, document)
        kept = {key: now[key] for key in ("kind", "name", "environment") if key in now}
        for key in _OUTSIDE:
            value: str | Mapping[str, str] = getattr(version, key)
            if value == getattr(document, key):
                kept |= {key: now[key]} if key in now else {}
            elif value:
                kept[key] = value
        edited = edit_document(text, index, {**kept, **body})
        load_documents(edited, path=document.path)
        self._write(document.path, edited.encode())

    def _put_files(self, path: str, material: Material, modules: Mapping[str, bytes]) -> None:
        here = self._files.over(self.pulled.files)
        for name, content in material.files.items():
            self._write(here.beside(path).place(name), content)
        for name, content in material.modules.items():
            before = modules.get(name)
            if before != content:
                self.pulled.files[name] = content
                self.pulled.before[name] = None if before is None else digest_bytes(before)

    def _write(self, path: str, content: bytes) -> None:
        """Note new content, unless the file has it."""
        now = self._files.read(path) if self._files.is_file(path) else None
        if now == content:
            self.pulled.files.pop(path, None)
            self.pulled.before.pop(path, None)
            return
        self.pulled.files[path] = content
        self.pulled.before[path] = None if now is None else digest_bytes(now)

    def _text(self, path: str) -> str | None:
        here = self._files.over(self.pulled.files)
        return here.read(path).decode("utf-8") if here.is_file(path) else None

    def _place_for(self, key: applied.Key) -> str:
        """The file that holds most of the kind, when it holds several; else one of its own."""
        holding = Counter(each.path for each in self._documents if each.kind == key[0])
        path, count = next(iter(holding.most_common(1)), ("", 0))
        tail = f"-{key[2]}" if key[2] else ""
        return path if count > 1 else f"{self._wanted.folder}/{key[0]}-{key[1]}{tail}.yaml"

    def _note(self, key: applied.Key, version: Version, action: str, path: str, *, before: str | None) -> None:
        self.pulled.places[key] = path
        self.pulled.changes.append({
            "ref": f"{key[0]}/{key[1]}", "action": action, "path": path, "environment": key[2] or None, "files": before,
            "registry": f"v{version.number}" if version.number else None, "digest": version.digest,
        })  # fmt: skip

    def _cannot(self, bare: str, error: Exception, *, where: str) -> None:
        message = error.message if isinstance(error, TidemillError) else f"it has no {error}"
        hint = error.hint if isinstance(error, TidemillError) else ""
        self.pulled.notes.append(Problem(message=f"{bare} cannot be written back: {message}", where=where, hint=hint))


def _find(text: str, document: SourceDocument) -> tuple[int, JsonObject]:
    """Which document of a text it is, empty ones counted, and all that it says."""
    for index, node in enumerate(compose(text.removeprefix("\ufeff"))):
        value = node_value(node)
        if isinstance(value, Mapping) and (value.get("kind"), value.get("name"), value.get("environment")) == (
            document.kind, document.name, document.environment,
        ):  # fmt: skip
            return index, value
    raise NotFound(f"{document.bare} stands no more in {document.path}")


def _comparable(kind: ArtifactKind, version: Version, references: Mapping[str, str]) -> Version:
    """Configuration resolves no references, so that those that are written are its own."""
    return version if kind.versioned else replace(version, refs=dict.fromkeys(references.values(), ""))


def _modules(kind: ArtifactKind, version: Version, blobs: Blobs) -> Mapping[str, bytes]:
    """The project's own code as the files have it."""
    try:
        return materialise(kind, version, around=Surroundings(blobs=blobs)).modules
    except (TidemillError, KeyError):
        return {}


def _number(db: Connection, version: Version) -> str | None:
    found = find_version(db, version.project, Ref(kind=version.kind, name=version.name, version=version.digest))
    return None if found is None else f"v{found.number}"
