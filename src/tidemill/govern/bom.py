"""A bill of materials of a release: CycloneDX 1.6, as an ML-BOM with model cards.

Source: CycloneDX v1.6, https://cyclonedx.org/docs/1.6/json/, and ECMA-424.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from tidemill.core.digests import canonical
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.govern.cards import MODEL_KINDS, component, evaluation
from tidemill.govern.dossier import Dossier, when
from tidemill.govern.measured import limits, metrics_of
from tidemill.version import __version__

_NAMESPACE: Final = uuid.UUID("5a1f6c9e-7a55-5a0b-9a6e-1f2f0f6b7c11")
_TYPES: Final[Mapping[str, str]] = {"function": "library", "tool": "library"}
_DATA: Final[Mapping[str, str]] = {"dataset": "dataset", "index": "dataset"}
_TASKS: Final[Mapping[str, str]] = {"model": "text-generation", "embedder": "feature-extraction", "adapter": "text-generation"}


def bill_of_materials(dossier: Dossier) -> JsonObject:
    """The CycloneDX document: the release as the application, what it locks and was evaluated on as components.

    The same knowledge gives the same document: its serial number is made from its content, its time is that of the release.
    """
    root = dossier.bundle.root
    used = [_component(dossier, each) for each in dossier.versions]
    evaluated = [_component(dossier, each) for each in dossier.datasets if each.digest not in dossier.bundle.versions]
    document: dict[str, Json] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": when(dossier.release.version.created_ns),
            "tools": {"components": [{"type": "application", "name": "tidemill", "version": __version__}]},
            "component": {
                "type": "application",
                "bom-ref": dossier.release.digest,
                "name": root.name,
                "version": dossier.release.version.ref.partition("@")[2],
                **({"description": root.description} if root.description else {}),
                "hashes": [_hash(dossier.release.digest)],
                "properties": [
                    _property("application", root.ref),
                    _property("release", dossier.release.digest),
                    _property("project", dossier.project),
                    _property("hermetic", "yes" if dossier.bundle.hermetic else "no"),
                ],
            },
        },
        "components": [*used, *evaluated],
        "dependencies": _dependencies(dossier),
        "properties": [
            _property("not_measured", str(each["what"]))
            for each in cast("Sequence[Mapping[str, Json]]", limits(dossier)["not_measured"])
        ],
    }
    serial = uuid.uuid5(_NAMESPACE, canonical(document).decode())
    return {**document, "serialNumber": f"urn:uuid:{serial}"}


def _component(dossier: Dossier, version: Version) -> JsonObject:
    known = dossier.weights.get(version.digest, {})
    facts = component(version)
    made: dict[str, Json] = {
        "type": "machine-learning-model" if version.kind in MODEL_KINDS else _TYPES.get(version.kind, "data"),
        "bom-ref": _place(version),
        "name": version.name,
        "version": f"v{version.number}",
        "hashes": [_hash(version.digest)],
        "properties": [
            _property("kind", version.kind),
            _property("role", str(facts["role"]) or version.kind),
            *([_property("provider", str(version.spec["provider"]))] if "provider" in version.spec else []),
            *(_property(f"blob.{role}", digest) for role, digest in sorted(version.blobs.items())),
            *(_property(f"weights.{name}", str(known[name])) for name in ("base", "file", "digest", "bytes") if name in known),
        ],
    }
    if version.description:
        made["description"] = version.description
    if version.owner:
        made["authors"] = [{"name": version.owner}]
    if version.kind in MODEL_KINDS:
        made |= _model(dossier, version, known)
    elif made["type"] == "data":
        made["data"] = [_data(version)]
    documents = dossier.documents.get(version.digest, ())
    if documents:
        made["components"] = [_document(version, each) for each in documents]
    return made


def _model(dossier: Dossier, version: Version, known: Mapping[str, Json]) -> dict[str, Json]:
    """Licence, publisher and the model card that CycloneDX has a place for."""
    parameters: dict[str, Json] = {"task": _TASKS[version.kind]}
    if known.get("architecture"):
        parameters["architectureFamily"] = known["architecture"]
    card: dict[str, Json] = {
        "bom-ref": f"{_place(version)}#card",
        "modelParameters": parameters,
        "considerations": {"technicalLimitations": _limitations(dossier)},
    }
    metrics = [each for measured in dossier.evaluations for each in _metrics(dossier, evaluation(measured)["id"])]
    if metrics:
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    made: dict[str, Json] = {"modelCard": card}
    if known.get("licence"):
        made["licenses"] = [{"license": {"name": known["licence"]}}]
    if known.get("organisation"):
        made["publisher"] = known["organisation"]
    return made


def _limitations(dossier: Dossier) -> list[Json]:
    missing = cast("Sequence[Mapping[str, Json]]", limits(dossier)["not_measured"])
    return [f"not measured: {each['what']}" for each in missing]


def _metrics(dossier: Dossier, evaluation_id: Json) -> list[Json]:
    measured = next(each for each in dossier.evaluations if each.row.id == evaluation_id)
    found: list[Json] = []
    for name, value in metrics_of(measured).items():
        if value.get("mean") is None:
            continue
        metric: dict[str, Json] = {"type": name, "value": str(value["mean"]), "slice": f"all of {measured.row.dataset}"}
        interval = cast("Sequence[float | None] | None", value.get("interval"))
        if interval and interval[0] is not None and interval[1] is not None:
            metric["confidenceInterval"] = {"lowerBound": str(interval[0]), "upperBound": str(interval[1])}
        found.append(metric)
    return found


def _data(version: Version) -> JsonObject:
    kind = _DATA.get(version.kind, "configuration")
    made: dict[str, Any] = {
        "type": kind,
        "name": version.ref,
        "contents": {"properties": [_property("digest", version.digest)]},
    }
    if version.kind == "dataset":
        rows = version.spec.get("rows_count")
        made["contents"]["properties"].append(_property("rows", str(rows)))
    return made


def _document(index: Version, document: JsonObject) -> JsonObject:
    return {
        "type": "data",
        "bom-ref": f"{_place(index)}#{document['id']}",
        "name": str(document["id"]),
        "hashes": [_hash(str(document["digest"]))],
        "data": [{"type": "other", "name": str(document["id"])}],
        "properties": [_property("format", str(document["format"]))],
    }


def _dependencies(dossier: Dossier) -> list[Json]:
    places = {each.digest: _place(each) for each in dossier.versions}
    top: JsonObject = {"ref": dossier.release.digest, "dependsOn": [_place(dossier.bundle.root)]}
    others: list[Json] = [
        {"ref": _place(each), "dependsOn": sorted({places[digest] for digest in each.refs.values() if digest in places})}
        for each in dossier.versions
    ]
    return [top, *others]


def _place(version: Version) -> str:
    return f"{version.bare}@{version.digest}"


def _hash(digest: str) -> JsonObject:
    return {"alg": "SHA-256", "content": digest.removeprefix("sha256:")}


def _property(name: str, value: str) -> JsonObject:
    return {"name": f"tidemill:{name}", "value": value}
