"""An application with some of its parts put in the place of others: new versions of whatever uses them, up to its root."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from tidemill.core.errors import Invalid, NotFound
from tidemill.core.extend import ArtifactKind
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.store.registry import add_version, find_by_digest, is_hermetic


def replace_parts(
    db: Connection,
    project: str,
    root: Version,
    parts: Mapping[str, Version],
    *,
    kinds: Mapping[str, ArtifactKind],
    now_ns: int,
    by: str = "",
) -> Version:
    """`root` with each artifact that `parts` names (`kind/name`) replaced by that version; itself when nothing changes.

    What uses a replaced part gets a new version, which becomes its latest. The same parts give the same versions again.
    Raises `Invalid` for a part that `root` does not use, or that does not fit where it is put.
    """
    work = _Replacing(db, project, parts, kinds=kinds, now_ns=now_ns, by=by)
    made = work.rebuilt(root)
    unused = [each for each in parts if each not in work.met]
    if unused:
        hint = did_you_mean(unused[0], sorted(work.met))
        raise Invalid(f"{root.ref} uses no {unused[0]}, so that nothing can be put in its place", hint=hint)
    return made


class _Replacing:
    def __init__(
        self,
        db: Connection,
        project: str,
        parts: Mapping[str, Version],
        *,
        kinds: Mapping[str, ArtifactKind],
        now_ns: int,
        by: str,
    ) -> None:
        self._db = db
        self._project = project
        self._parts = parts
        self._kinds = kinds
        self._now_ns = now_ns
        self._by = by
        self._made: dict[tuple[str, str], Version] = {}
        self.met: set[str] = set()

    def rebuilt(self, version: Version) -> Version:
        """The version with its parts replaced, directly or further down."""
        known = self._made.get((version.bare, version.digest))
        if known is None:
            known = self._made[version.bare, version.digest] = self._rebuild(version)
        return known

    def _rebuild(self, version: Version) -> Version:
        now: dict[str, Version] = {}
        for written, digest in version.refs.items():
            ref = parse_ref(written)
            self.met.add(ref.bare)
            old = find_by_digest(self._db, self._project, digest, kind=ref.kind, name=ref.name)
            if old is None:
                raise NotFound(f"{version.ref} needs {ref.bare}@{digest}, which is gone")
            now[written] = self._parts.get(ref.bare) or self.rebuilt(old)
        if all(now[written].digest == digest for written, digest in version.refs.items()):
            return version
        names = {written: _name(written, now[written], version.refs[written]) for written in now}
        spec = _renamed(version.spec, names)
        assert isinstance(spec, Mapping)
        refs = {names[written]: each.digest for written, each in now.items()}
        self._check(version, spec, {names[written]: each for written, each in now.items()})
        made, _ = add_version(
            self._db,
            project=self._project,
            kind=version.kind,
            name=version.name,
            parsed_spec=spec,
            refs=refs,
            blobs=version.blobs,
            now_ns=self._now_ns,
            description=version.description,
            tags=version.tags,
            owner=version.owner,
            by=self._by,
            hermetic=is_hermetic(self._db, version),
        )
        return made

    def _check(self, version: Version, spec: JsonObject, resolved: Mapping[str, Version]) -> None:
        problems = self._kinds[version.kind].check(spec, resolved=resolved) if version.kind in self._kinds else ()
        if problems:
            first = problems[0]
            raise Invalid(f"{version.bare}: {first.message}", hint=first.hint, problems=problems)


def _name(written: str, now: Version, before: str) -> str:
    """How the reference is written from now on: as it was, unless it names another artifact or a version that it is not."""
    same_artifact = parse_ref(written).bare == now.bare
    return written if same_artifact and ("@" not in written or now.digest == before) else now.bare


def _renamed(value: Json, names: Mapping[str, str]) -> Json:
    """The spec with every text that is exactly a reference written anew."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, Mapping):
        return {key: _renamed(each, names) for key, each in value.items()}
    return value if value is None or isinstance(value, bool | int | float) else [_renamed(each, names) for each in value]
