"""Everything that the platform knows of one release, read in one transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, cast

from sqlalchemy import Connection

from tidemill.core.errors import NotFound
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Bundle, Version
from tidemill.core.refs import is_digest
from tidemill.data.build import read_manifest
from tidemill.models.identity import identify
from tidemill.store import approvals, audit, evaluations, index_builds, provenance, registry, release
from tidemill.store.audit import AuditEntry
from tidemill.store.blobs import Blobs
from tidemill.store.evaluations import Decision, EvaluationRow, SampleRow
from tidemill.store.provenance import Served
from tidemill.store.release import Release

_INHERITED: Final = ("licence", "organisation", "architecture", "size", "context")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One evaluation: `metrics` by name, each with `mean`, `interval` and `n`; `checks` names the scorer behind each metric."""

    row: EvaluationRow
    samples: tuple[SampleRow, ...]
    dataset: Version | None
    scorers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def result(self) -> Mapping[str, Any]:
        """The evaluation's result, empty while there is none."""
        return cast("Mapping[str, Any]", self.row.result) if isinstance(self.row.result, Mapping) else {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Dossier:
    """A release and what is known of it. Everything is in a fixed order, so that the same knowledge gives the same evidence.

    `builds` and `documents` are by the digest of an index, `weights` by that of a model or embedder. `chain` is the unbroken
    part of the audit chain that holds every line about the release, whose numbers are in `about`.
    """

    project: str
    release: Release
    bundle: Bundle
    maker: str
    evaluations: tuple[Measured, ...]
    decisions: tuple[Decision, ...]
    served: tuple[Served, ...]
    approvals: tuple[JsonObject, ...]
    chain: tuple[AuditEntry, ...]
    about: tuple[int, ...]
    builds: Mapping[str, Json] = field(default_factory=dict[str, Json])
    documents: Mapping[str, Sequence[JsonObject]] = field(default_factory=dict[str, "Sequence[JsonObject]"])
    weights: Mapping[str, Mapping[str, Json]] = field(default_factory=dict[str, "Mapping[str, Json]"])

    @property
    def versions(self) -> tuple[Version, ...]:
        """Every version that the release locks, the root first, the others by reference."""
        others = (each for each in self.bundle.versions.values() if each.digest != self.bundle.root.digest)
        return (self.bundle.root, *sorted(others, key=lambda each: (each.kind, each.name, each.number)))

    @property
    def datasets(self) -> tuple[Version, ...]:
        """Every dataset that the release was evaluated on."""
        found = {each.dataset.digest: each.dataset for each in self.evaluations if each.dataset is not None}
        return tuple(sorted(found.values(), key=lambda each: (each.name, each.number)))


def read_dossier(db: Connection, project: str, release_or_root: str) -> Dossier:
    """Read all of it but the weights. `release_or_root` is a release's digest or reference, or an app whose release was kept.

    Raises `NotFound` when the app was never locked: there is no evidence of what was never a release.
    """
    found = _release(db, project, release_or_root)
    bundle = release.load_bundle(db, project, found.digest)
    rows = provenance.evaluations_of(db, project, found.digest)
    chain, about = _audit_of(db, project, {found.digest, *(row.id for row in rows)})
    indexes = [each for each in bundle.versions.values() if each.kind == "index"]
    builds = {each.digest: index_builds.get_build(db, project, each.digest) for each in indexes}
    return Dossier(
        project=project,
        release=found,
        bundle=bundle,
        maker=provenance.maker_of(db, project, found.digest),
        evaluations=tuple(_measured(db, project, row) for row in rows),
        decisions=provenance.decisions_on(db, project, rows),
        served=provenance.moves_of(db, project, found.digest),
        approvals=_approvals_of(db, project, found.digest),
        chain=chain,
        about=about,
        builds={digest: build.manifest for digest, build in builds.items() if build is not None},
    )


def _release(db: Connection, project: str, asked: str) -> Release:
    if is_digest(asked) or asked.startswith("release/"):
        return release.get_release(db, project, asked)
    digest = release.load_bundle(db, project, asked).release
    try:
        return release.get_release(db, project, digest)
    except NotFound as error:
        raise NotFound(
            f"{asked} as it is now was never released, so there is no evidence of it",
            hint=f"Lock it first: tidemill release {asked}",
        ) from error


def _measured(db: Connection, project: str, row: EvaluationRow) -> Measured:
    dataset = next(iter(registry.find_by_digests(db, project, [str(row.config.get("data"))], kind="dataset")), None)
    names = cast("Sequence[str]", row.config.get("scorers") or ())
    scorers: dict[str, str] = {}
    for name in names:
        if "/" not in name:
            continue
        try:
            scorer = registry.get_version(db, project, name)
        except NotFound:
            continue
        scorers[scorer.name] = str(scorer.spec.get("scorer") or "own code")
    return Measured(row=row, samples=tuple(evaluations.get_samples(db, row.id)), dataset=dataset, scorers=scorers)


def _approvals_of(db: Connection, project: str, digest: str) -> tuple[JsonObject, ...]:
    """Every approval with its times; whether one holds depends on when it is read."""
    return tuple(
        {
            "id": each.id,
            "who": each.who,
            "role": each.role,
            "reason": each.reason,
            "digest": each.digest,
            "for": each.target or "anywhere",
            "at": when(each.created_ns),
            "expires": None if each.expires_ns is None else when(each.expires_ns),
            "revoked": None if each.revoked_ns is None else when(each.revoked_ns),
            "revoked_by": each.revoked_by,
        }
        for each in approvals.for_release(db, project, digest)
    )


def _audit_of(db: Connection, project: str, words: set[str]) -> tuple[tuple[AuditEntry, ...], tuple[int, ...]]:
    """The lines from the first to the last that tell of any of the words, and the numbers of those that do.

    That evidence was made is no evidence: without those lines the next pack is the same as the last.
    """
    wanted = [each.encode() for each in words]
    kept: list[AuditEntry] = []
    about: list[int] = []
    for entry in audit.read_chain(db, project):
        line = entry.exported()
        if not entry.action.startswith("evidence.") and any(word in line for word in wanted):
            about.append(entry.number)
        if about:
            kept.append(entry)
    length = about[-1] - about[0] + 1 if about else 0
    return tuple(kept[:length]), tuple(about)


def complete(dossier: Dossier, blobs: Blobs) -> Dossier:
    """The dossier with what is not in the database: each index's documents, each model's weights. Reads and hashes files."""
    documents: dict[str, Sequence[JsonObject]] = {}
    weights: dict[str, Mapping[str, Json]] = {}
    for version in dossier.versions:
        if version.kind == "index" and "documents" in version.blobs:
            entries = read_manifest(blobs.get(version.blobs["documents"]))
            documents[version.digest] = [{"id": each.id, "format": each.format, "digest": each.blob} for each in entries]
        if version.kind in {"model", "embedder", "adapter"}:
            known = asdict(identify(version, blob_path=blobs.path))
            weights[version.digest] = {name: value for name, value in known.items() if value not in {None, ""}}
    inherited = {digest: _inherited(dossier, digest, weights) for digest in weights}
    return replace(dossier, documents=documents, weights=inherited)


def _inherited(dossier: Dossier, digest: str, weights: Mapping[str, Mapping[str, Json]]) -> Mapping[str, Json]:
    """What is known of the weights; of tuned ones also their base, with its licence where they state none of their own."""
    version = dossier.bundle.versions[digest]
    base = _base_of(dossier, version)
    if base is None:
        return weights[digest]
    from_base = {name: value for name, value in weights[base.digest].items() if name in _INHERITED}
    if "licence" in from_base:
        from_base["licence_from"] = f"its base, {base.ref}"
    return {**from_base, **{name: value for name, value in weights[digest].items() if name != "base"}, "base": base.ref}


def _base_of(dossier: Dossier, version: Version) -> Version | None:
    """The model that an adapter, or a model made with one, was tuned from."""
    found: Version | None = None
    step = version
    while True:
        wanted = "adapter" if step.kind == "model" else "model"
        needed = (dossier.bundle.versions.get(each) for each in step.refs.values())
        after = next((each for each in needed if each is not None and each.kind == wanted), None)
        if after is None:
            return found
        step = after
        found = step if step.kind == "model" else found


def when(ns: int) -> str:
    """Nanoseconds since the epoch as a time in UTC, to the second."""
    return dt.datetime.fromtimestamp(ns // 1_000_000_000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
