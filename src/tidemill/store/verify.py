"""Whether a release holds: every digest recomputed from what is kept, every blob's bytes hashed, the signature checked.

It works on a lock file and a `Source`: the registry's, or a folder with nothing else around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, cast

from sqlalchemy import Connection

from tidemill.core.digests import canonical
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.refs import is_digest, parse_ref
from tidemill.store.blobs import Blobs, BlobState
from tidemill.store.registry import bare_refs, digest_of, find_by_digest
from tidemill.store.signatures import is_signed, read_signature

State: TypeAlias = Literal["ok", "erased", "missing", "damaged", "altered"]
_ROWS = Path("registry") / "versions.jsonl"
_GOOD = frozenset({"ok", "erased"})
_LISTING = " documents"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One thing that was checked. `what` is `signature`, `release`, `artifact` or `blob`; `name` which."""

    what: Literal["signature", "release", "artifact", "blob"]
    name: str
    state: State
    detail: str = ""

    def as_json(self) -> JsonObject:
        """The line as the API answers it."""
        return {"what": self.what, "name": self.name, "state": self.state, "detail": self.detail}


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What was found. `fingerprint` is the signer's, None when it is not signed."""

    digest: str
    root: str
    fingerprint: str | None
    lines: tuple[Line, ...]

    @property
    def holds(self) -> bool:
        """Whether all is there and unchanged but for what was erased."""
        return all(each.state in _GOOD for each in self.lines)

    def as_json(self) -> JsonObject:
        """As the API answers it."""
        lines: list[Json] = [each.as_json() for each in self.lines]
        return {
            "digest": self.digest,
            "root": self.root,
            "holds": self.holds,
            "fingerprint": self.fingerprint,
            "lines": lines,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What an artifact's digest covers, its references as the digest has them; `digest` is recomputed from it."""

    digest: str
    blobs: Mapping[str, str]


class Source(Protocol):
    """Where a release's content is looked up."""

    def artifact(self, bare: str, digest: str) -> Content | None:
        """What is kept as this artifact; None when nothing is."""
        ...

    def blob(self, digest: str) -> tuple[BlobState, str]:
        """The state of a blob's bytes, and what is known of it."""
        ...

    def read(self, digest: str) -> bytes:
        """The bytes of a blob that is whole."""
        ...


def verify_lock(lock: Json, source: Source, *, key: str = "") -> Verification:
    """Check a release by the content of its lock file. `key` is the fingerprint that must have signed it.

    Raises `Invalid` for what is no lock file. Everything else is said in the lines.
    """
    spec, digest = _read(lock)
    recomputed = digest_of("release", spec=cast("JsonObject", spec), refs={}, blobs={})
    same = recomputed == digest
    lines = [Line(what="release", name=digest, state="ok" if same else "altered", detail="" if same else f"is {recomputed}")]
    fingerprint, signed = _signature(cast("Mapping[str, Json]", lock).get("signature"), digest, key)
    lines += [signed, *_content(spec["artifacts"], source)]
    return Verification(digest=digest, root=str(spec["root"]), fingerprint=fingerprint, lines=tuple(lines))


def _signature(given: Json, digest: str, key: str) -> tuple[str | None, Line]:
    def line(name: str, state: State, detail: str = "") -> Line:
        return Line(what="signature", name=name, state=state, detail=detail)

    if given is None:
        return None, line("none", "missing", "the release is not signed")
    signature = read_signature(given)
    name = signature.fingerprint
    if not is_signed(digest, signature):
        return name, line(name, "altered", "the signature does not fit the release")
    if key and key.strip().lower() != name:
        return name, line(name, "altered", f"it was signed by another key than {key}")
    return name, line(name, "ok")


def _content(artifacts: Mapping[str, Any], source: Source) -> Iterator[Line]:
    used: dict[str, str] = {}
    for name, entry in artifacts.items():
        bare, digest, blobs = name.partition("@")[0], str(entry["digest"]), cast("Mapping[str, str]", entry["blobs"])
        used |= {blob: f"{bare} {role}" for role, blob in blobs.items()}
        content = source.artifact(bare, digest)
        if content is None:
            yield Line(what="artifact", name=bare, state="missing", detail=digest)
        elif content.digest != digest:
            yield Line(what="artifact", name=bare, state="altered", detail=f"{digest} is {content.digest}")
        elif dict(content.blobs) != dict(blobs):
            yield Line(what="artifact", name=bare, state="altered", detail="the lock names other blobs than it has")
        else:
            yield Line(what="artifact", name=bare, state="ok", detail=digest)
    for blob, place in used.items():
        state, detail = source.blob(blob)
        inside = list(_inside(place, source.read(blob), source)) if state == "ok" and place.endswith(_LISTING) else []
        bad = [each for each in inside if each.state not in _GOOD]
        told = detail or (f"and its {len(inside):,} documents" if inside and not bad else "")
        yield Line(what="blob", name=place, state=state, detail=f"{blob}{f': {told}' if told else ''}")
        yield from bad


def _inside(place: str, listing: bytes, source: Source) -> Iterator[Line]:
    """Each document that the listing of an index names: its digest covers the listing, and so them."""
    for each in cast("Sequence[Mapping[str, str]]", parse_json(listing, what=place)):
        state, detail = source.blob(each["blob"])
        name = f"{place.removesuffix(_LISTING)} {each['id']}"
        yield Line(what="blob", name=name, state=state, detail=f"{each['blob']}{f': {detail}' if detail else ''}")


def _read(lock: Json) -> tuple[dict[str, Any], str]:
    """The spec that a lock's digest covers, and that digest."""
    try:
        given = cast("Mapping[str, Any]", lock)
        spec = {name: given[name] for name in ("root", "artifacts", "hermetic")}
        for name, entry in spec["artifacts"].items():
            parse_ref(name)
            if not all(is_digest(each) for each in (entry["digest"], *entry["blobs"].values())):
                raise ValueError(name)
        return spec, str(given["digest"])
    except (AttributeError, KeyError, TypeError, ValueError, Invalid) as error:
        raise Invalid("it is not a lock file", hint="Write one: tidemill release chain/x --lock handbook.lock.json") from error


class Stored:
    """The registry as a source. Make it, and use it, within one transaction or after: versions are read when asked for."""

    def __init__(self, db: Connection, project: str, lock: Json, blobs: Blobs) -> None:
        self._blobs = blobs
        self._found: dict[tuple[str, str], Content] = {}
        for name, entry in _read(lock)[0]["artifacts"].items():
            ref = parse_ref(name.partition("@")[0])
            version = find_by_digest(db, project, entry["digest"], kind=ref.kind, name=ref.name)
            if version is not None:
                recomputed = digest_of(version.kind, spec=version.spec, refs=version.refs, blobs=version.blobs)
                self._found[ref.bare, entry["digest"]] = Content(digest=recomputed, blobs=version.blobs)

    def artifact(self, bare: str, digest: str) -> Content | None:
        """As `Source.artifact`."""
        return self._found.get((bare, digest))

    def blob(self, digest: str) -> tuple[BlobState, str]:
        """As `Source.blob`."""
        return self._blobs.state(digest)

    def read(self, digest: str) -> bytes:
        """As `Source.read`."""
        return self._blobs.get(digest)


class Folder:
    """A folder as a source: an export that was unpacked, or blobs alone, `ab/cdef…` as in the data folder.

    Of an export, artifacts are read from its `registry/versions.jsonl`. Else an artifact is there as the bytes that its digest
    is of, a blob like any other.
    """

    def __init__(self, folder: Path) -> None:
        inside = folder / "blobs"
        self._blobs = Blobs.at(inside if inside.is_dir() else folder)
        rows = folder / _ROWS
        self._found = dict(_exported(rows)) if rows.is_file() else {}

    def artifact(self, bare: str, digest: str) -> Content | None:
        """As `Source.artifact`."""
        if (bare, digest) in self._found:
            return self._found[bare, digest]
        state, _ = self._blobs.state(digest)
        if state == "missing":
            return None
        value = parse_json(self._blobs.path(digest).read_bytes(), what=bare) if state == "ok" else None
        if not isinstance(value, Mapping) or value.get("kind") != bare.partition("/")[0]:
            return Content(digest="something else", blobs={})
        return Content(digest=digest, blobs=cast("Mapping[str, str]", value.get("blobs") or {}))

    def blob(self, digest: str) -> tuple[BlobState, str]:
        """As `Source.blob`."""
        return self._blobs.state(digest)

    def read(self, digest: str) -> bytes:
        """As `Source.read`."""
        return self._blobs.get(digest)


def _exported(rows: Path) -> Iterator[tuple[tuple[str, str], Content]]:
    """The artifacts of an export, each with the digest that its content has. Raises `Invalid` for lines that are none."""
    with rows.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = cast("Mapping[str, Any]", parse_json(line, what="a version"))
                recomputed = digest_of(row["kind"], spec=row["spec"], refs=row["refs"], blobs=row["blobs"])
                yield (f"{row['kind']}/{row['name']}", str(row["digest"])), Content(digest=recomputed, blobs=row["blobs"])
            except (AttributeError, KeyError, TypeError, Invalid) as error:
                raise Invalid("it is not a version", where=f"{rows}:{number}", hint="Unpack the export again.") from error


def artifact_bytes(kind: str, *, spec: JsonObject, refs: Mapping[str, str], blobs: Mapping[str, str]) -> bytes:
    """The canonical bytes that an artifact's digest is of: kept as a blob they prove it without a registry."""
    return canonical({"schema": "tidemill/1", "kind": kind, "spec": spec, "refs": bare_refs(refs), "blobs": dict(blobs)})
