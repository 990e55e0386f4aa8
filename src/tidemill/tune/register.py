"""A trained adapter and the model merged with it, as versions in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection

from tidemill.core.errors import NotFound
from tidemill.core.json import Json, JsonObject, dump_json
from tidemill.core.records import Version
from tidemill.core.refs import Ref
from tidemill.store import audit, registry
from tidemill.store.blobs import Blobs
from tidemill.tune.extra import code_digest, environment
from tidemill.tune.recipe import Recipe
from tidemill.tune.training import Trained


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What a run was made of: the versions that it read, its recipe and its key."""

    tune: Version
    base: Version
    data: Version
    prompt: Version | None
    recipe: Recipe
    rows: int
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Registered:
    """The two versions that came of a run."""

    adapter: Version
    model: Version


def keep_files(trained: Trained, blobs: Blobs) -> dict[str, str]:
    """Put what a run wrote into the blob store: `weights`, `config` and `log` of the adapter, `file` of the model."""
    log = {"losses": trained.losses}
    return {
        "weights": blobs.put((trained.adapter / "adapter_model.safetensors").read_bytes()),
        "config": blobs.put((trained.adapter / "adapter_config.json").read_bytes()),
        "log": blobs.put(dump_json(log)),
        "file": blobs.put(trained.model.read_bytes()),
    }


def register(
    db: Connection, project: str, *, name: str, origin: Origin, kept: Mapping[str, str], who: str, now_ns: int
) -> Registered:
    """Make `adapter/NAME` and `model/NAME`, each a new version unless it has the same content already."""
    spec, refs = _adapter_spec(origin)
    adapter, is_new = registry.add_version(
        db,
        project=project,
        kind="adapter",
        name=name,
        parsed_spec=spec,
        refs=refs,
        blobs={role: kept[role] for role in ("weights", "config", "log")},
        description=f"{origin.recipe.method} of {origin.base.ref} on {origin.data.ref} by {origin.tune.ref}",
        by=who,
        now_ns=now_ns,
    )
    model_spec: dict[str, Json] = {"provider": "local", "file": kept["file"], "adapter": adapter.bare}
    if origin.base.spec.get("params"):
        model_spec["params"] = origin.base.spec["params"]
    model, _ = registry.add_version(
        db,
        project=project,
        kind="model",
        name=name,
        parsed_spec=model_spec,
        refs={adapter.bare: adapter.digest},
        blobs={"file": kept["file"]},
        description=f"{origin.base.ref} with {adapter.ref} merged in",
        by=who,
        now_ns=now_ns,
    )
    if is_new:
        detail: JsonObject = {"tune": origin.tune.ref, "model": model.ref, "digest": adapter.digest, "data": origin.data.digest}
        audit.append(db, project, who=who, action="tune", target=adapter.ref, detail=detail, now_ns=now_ns)
    return Registered(adapter=adapter, model=model)


def registered(db: Connection, project: str, *, name: str, key: str) -> Registered | None:
    """What a run with this key gave before, when both versions are there."""
    adapter = _with_value(db, project, "adapter", name, field="run", value=key)
    if adapter is None:
        return None
    for model in _versions(db, project, "model", name):
        if model.refs.get(adapter.bare) == adapter.digest:
            return Registered(adapter=adapter, model=model)
    return None


def _adapter_spec(origin: Origin) -> tuple[JsonObject, dict[str, str]]:
    recipe = origin.recipe
    refs = {each.bare: each.digest for each in (origin.base, origin.data, origin.tune)}
    spec: dict[str, Json] = {
        "base": origin.base.bare,
        "data": origin.data.bare,
        "tune": origin.tune.bare,
        "rank": recipe.rank,
        "alpha": recipe.alpha,
        "targets": list(recipe.targets),
        "recipe": recipe.as_json(),
        "rows": origin.rows,
        "seed": recipe.seed,
        "code": code_digest(),
        "environment": cast("Json", environment()),
        "run": origin.key,
    }
    if origin.prompt is not None:
        spec["prompt"] = origin.prompt.bare
        refs[origin.prompt.bare] = origin.prompt.digest
    return spec, refs


def _with_value(db: Connection, project: str, kind: str, name: str, *, field: str, value: str) -> Version | None:
    return next((each for each in _versions(db, project, kind, name) if each.spec.get(field) == value), None)


def _versions(db: Connection, project: str, kind: str, name: str) -> list[Version]:
    try:
        return list(registry.list_versions(db, project, Ref(kind=kind, name=name), limit=500).items)
    except NotFound:
        return []
