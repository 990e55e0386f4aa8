"""Cards: what the platform knows of an application and of its models, for people who must answer for it.

A model card follows Mitchell et al. 2019, "Model Cards for Model Reporting" (FAT*); a system card describes the whole
application. Nothing in them is written by a model or by hand: what is not known is said to be not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.govern.dossier import Dossier, Measured, when
from tidemill.govern.measured import limits, metrics_of
from tidemill.store.evaluations import Decision

SCHEMA: Final = "tidemill-card/1"
NOT_KNOWN: Final = "not known"
MODEL_KINDS: Final = ("model", "embedder", "adapter")
_ROLES: Final[Mapping[str, str]] = {
    "prompt": "what the model is told",
    "model": "what answers",
    "embedder": "turns texts into vectors for search",
    "adapter": "weights tuned for the task",
    "index": "the documents that are searched",
    "chain": "the steps, in their order",
    "agent": "a model that chooses its steps",
    "tool": "what the agent may call",
    "function": "code of the project",
    "guardrail": "what is let through",
    "dataset": "rows that it was tuned on, or uses",
    "tune": "how its model was tuned",
}


def system_card(dossier: Dossier) -> JsonObject:
    """The application under one digest: components, data, measurements, decisions, where it served, limits."""
    root = dossier.bundle.root
    return {
        "schema": SCHEMA,
        "card": "system",
        "name": root.name,
        "application": root.ref,
        "release": dossier.release.digest,
        "project": dossier.project,
        "description": root.description or NOT_KNOWN,
        "owner": root.owner or NOT_KNOWN,
        "released": when(dossier.release.version.created_ns),
        "released_by": dossier.maker or NOT_KNOWN,
        "hermetic": dossier.bundle.hermetic,
        "components": [component(each) for each in dossier.versions],
        "data": data_of(dossier),
        "evaluations": [evaluation(each) for each in dossier.evaluations],
        "gates": [gate(each) for each in dossier.decisions],
        "approvals": list(dossier.approvals),
        "served": [
            {"endpoint": each.endpoint, "action": each.action, "release": each.release, "by": each.by, "at": when(each.at_ns)}
            for each in dossier.served
        ],
        "limits": limits(dossier),
    }


def model_cards(dossier: Dossier) -> list[JsonObject]:
    """A card for each model, embedder and adapter of the release."""
    return [model_card(dossier, each) for each in dossier.versions if each.kind in MODEL_KINDS]


def model_card(dossier: Dossier, version: Version) -> JsonObject:
    """One model: which weights, under which licence, with which parameters, used by what, measured as part of what."""
    known = dossier.weights.get(version.digest, {})
    used_by = [each.ref for each in dossier.versions if version.digest in each.refs.values()]
    own = {name: value for name, value in version.spec.items() if name not in {"provider", "model", "params", "connection"}}
    return {
        "schema": SCHEMA,
        "card": "model",
        "name": version.name,
        "kind": version.kind,
        "ref": version.ref,
        "digest": version.digest,
        "release": dossier.release.digest,
        "description": version.description or NOT_KNOWN,
        "owner": version.owner or NOT_KNOWN,
        "provider": version.spec.get("provider") or NOT_KNOWN,
        "model": known.get("name") or version.spec.get("model") or NOT_KNOWN,
        "base": known.get("base") or NOT_KNOWN,
        "organisation": known.get("organisation") or NOT_KNOWN,
        "size": known.get("size") or NOT_KNOWN,
        "architecture": known.get("architecture") or NOT_KNOWN,
        "context": known.get("context") or NOT_KNOWN,
        "licence": {"id": known.get("licence") or NOT_KNOWN, "from": known.get("licence_from") or NOT_KNOWN},
        "weights": {"file": known.get("file") or NOT_KNOWN, "digest": known.get("digest") or NOT_KNOWN},
        "parameters": version.spec.get("params") or {},
        "specification": own,
        "used_by": used_by,
        "evaluations": [evaluation(each) for each in dossier.evaluations],
        "limits": _model_limits(dossier, version, known),
    }


def _model_limits(dossier: Dossier, version: Version, known: Mapping[str, Json]) -> JsonObject:
    missing: list[Json] = [{"what": f"the {version.kind} alone", "why": "evaluations are of the whole application"}]
    if not known.get("digest"):
        missing.append({"what": "the weights", "why": "the provider serves them; they may change under one name"})
    if not known.get("licence"):
        missing.append({"what": "the licence", "why": "neither the model's file nor a catalogue states it"})
    whose = "its base" if known.get("base") and version.refs else "it"
    missing.append({"what": f"the data that {whose} was trained on", "why": "whoever made it knows; the platform does not"})
    whole = limits(dossier)
    return {"measured": whole["measured"], "not_measured": [*missing, *cast("Sequence[Json]", whole["not_measured"])]}


def component(version: Version) -> JsonObject:
    """A locked artifact: what it is, under which digest, and what it uses."""
    return {
        "ref": version.ref,
        "kind": version.kind,
        "digest": version.digest,
        "role": _ROLES.get(version.kind, ""),
        "description": version.description,
        "uses": dict(sorted(version.refs.items())),
        "blobs": dict(sorted(version.blobs.items())),
    }


def data_of(dossier: Dossier) -> list[Json]:
    """Where the data came from: indexes with their documents, datasets with their rows."""
    indexes: list[Json] = []
    for each in dossier.versions:
        if each.kind == "index":
            build = cast("Mapping[str, Any]", dossier.builds.get(each.digest) or {})
            documents = dossier.documents.get(each.digest, ())
            indexes.append({
                "ref": each.ref,
                "digest": each.digest,
                "used_for": "retrieval",
                "source": each.spec.get("source"),
                "documents": len(documents),
                "chunks": build.get("chunks", NOT_KNOWN),
                "provenance": list(documents),
            })  # fmt: skip
    trained = [_dataset(each, used_for=_use_of(dossier, each)) for each in dossier.versions if each.kind == "dataset"]
    return [*indexes, *trained, *(_dataset(each, used_for="evaluation") for each in dossier.datasets)]


def _use_of(dossier: Dossier, dataset: Version) -> str:
    users = {each.kind for each in dossier.versions if dataset.digest in each.refs.values()}
    return "training" if users & {"adapter", "tune"} else "the application"


def _dataset(version: Version, *, used_for: str) -> JsonObject:
    columns = version.spec.get("columns", {})
    from_traces = isinstance(columns, Mapping) and {"trace", "traces"} <= set(columns)
    return {
        "ref": version.ref,
        "digest": version.digest,
        "used_for": used_for,
        "source": "live traces and their feedback; each row names its traces" if from_traces else NOT_KNOWN,
        "description": version.description or NOT_KNOWN,
        "owner": version.owner or NOT_KNOWN,
        "rows": version.spec.get("rows_count", NOT_KNOWN),
        "columns": columns,
        "roles": version.spec.get("roles", {}),
        "blob": version.blobs.get("rows"),
    }


def evaluation(measured: Measured) -> JsonObject:
    """An evaluation in short: its metrics with their intervals."""
    row, result = measured.row, measured.result
    return {
        "id": row.id,
        "dataset": row.dataset,
        "dataset_digest": row.config.get("data"),
        "status": row.status,
        "samples": result.get("samples", 0),
        "errors": result.get("errors", 0),
        "metrics": {
            name: {"mean": each.get("mean"), "interval": each.get("interval"), "n": each.get("n")}
            for name, each in metrics_of(measured).items()
        },
        "at": when(row.created_ns),
    }


def gate(decision: Decision) -> JsonObject:
    """A gate's decision, with every check."""
    return {
        "gate": decision.gate,
        "result": decision.result,
        "evaluation": decision.evaluation,
        "against": decision.against,
        "checks": decision.detail.get("checks", []),
        "at": when(decision.decided_ns),
    }
