"""What a comparison of models names, resolved and checked before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import anyio.to_thread
from sqlalchemy import Connection as Database

from tidemill.api.platform import Platform
from tidemill.core.errors import Invalid
from tidemill.core.json import JsonObject
from tidemill.core.records import Bundle, Sample, Version
from tidemill.core.refs import parse_ref
from tidemill.data.dataset import load_samples
from tidemill.evaluation.candidates import searching, with_embedder, with_model
from tidemill.evaluation.scorers.choose import Chosen, choose_scorers, fitting_names
from tidemill.store import registry, release

Kind: TypeAlias = Literal["models", "embedders"]
_RETRIEVED = 10
_FROM_GOLD = frozenset({"recall_at_k", "ndcg_at_k", "mrr"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One side of the comparison, and the application that is run for it."""

    version: Version
    bundle: Bundle


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What is compared, resolved."""

    kind: Kind
    dataset: Version
    candidates: Sequence[Candidate]
    scorers: Sequence[Chosen]
    metric: str
    samples: Sequence[Sample]


async def read_setting(platform: Platform, project: str, asked: JsonObject) -> Setting:
    """Resolve and check everything that is named, so that a mistake is told before anything runs."""
    kind = _kind(asked)
    names = cast("Sequence[str]", asked[kind])

    def work(db: Database) -> tuple[Version, list[Candidate], dict[str, Version]]:
        dataset = registry.get_version(db, project, parse_ref(str(asked["data"]), kind="dataset"))
        versions = [registry.get_version(db, project, parse_ref(each, kind=kind.removesuffix("s"))) for each in names]
        scorers = cast("Sequence[str]", asked["scorers"])
        own = {each: registry.get_version(db, project, parse_ref(each, kind="scorer")) for each in scorers if "/" in each}
        return dataset, _bundles(db, project, kind, versions, asked), own

    dataset, candidates, own = await platform.database.read(work)
    wanted = cast("Sequence[str]", asked["scorers"]) or _usual(kind, dataset)
    scorers = await anyio.to_thread.run_sync(lambda: choose_scorers(wanted, dataset=dataset, project=own.__getitem__))
    metric = _metric(asked, scorers)
    limit = cast("int | None", asked["limit"])
    samples = await anyio.to_thread.run_sync(load_samples, dataset, platform.blobs(project))
    return Setting(kind=kind, dataset=dataset, candidates=candidates, scorers=scorers, metric=metric, samples=samples[:limit])


def _kind(asked: JsonObject) -> Kind:
    models, embedders = cast("Sequence[str]", asked["models"]), cast("Sequence[str]", asked["embedders"])
    if bool(models) == bool(embedders):
        raise Invalid("name either models or embedders to compare", hint="As in model/a model/b, or --embedders embedder/a.")
    if len(set(models or embedders)) < max(2, len(models or embedders)):
        raise Invalid("a comparison needs at least two candidates, each named once", where="models" if models else "embedders")
    if embedders and asked["index"] is None:
        raise Invalid("embedders are compared under an index", where="index", hint="Add --index index/NAME.")
    if models and asked["index"] is not None:
        raise Invalid("an index goes with embedders, not with models", where="index", hint="To search, name --app chain/NAME.")
    if embedders and asked["app"] is not None:
        raise Invalid("an app goes with models, not with embedders", where="app")
    return "models" if models else "embedders"


def _bundles(db: Database, project: str, kind: Kind, versions: Sequence[Version], asked: JsonObject) -> list[Candidate]:
    if kind == "embedders":
        index = registry.get_version(db, project, parse_ref(str(asked["index"]), kind="index"))
        return [Candidate(version=each, bundle=searching(with_embedder(index, each), each, k=_RETRIEVED)) for each in versions]
    if asked["app"] is None:
        return [Candidate(version=each, bundle=release.load_bundle(db, project, each.ref)) for each in versions]
    app = release.load_bundle(db, project, str(asked["app"]))
    return [Candidate(version=each, bundle=with_model(app, each)) for each in versions]


def _usual(kind: Kind, dataset: Version) -> list[str]:
    """The scorers that fit: of retrieval for embedders, of answers for models."""
    names = [each for each in fitting_names(dataset) if (each in _FROM_GOLD) == (kind == "embedders")]
    if not names:
        needs = "gold documents" if kind == "embedders" else "a reference"
        role = "gold" if kind == "embedders" else "reference"
        raise Invalid(
            f"{dataset.ref} has no {needs} to compare {kind} by", where="data", hint=f"Add roles: {{{role}: COLUMN}}."
        )
    return names


def _metric(asked: JsonObject, scorers: Sequence[Chosen]) -> str:
    known = [each.metric for each in scorers]
    wanted = asked["metric"]
    if wanted is None:
        return "token_f1" if "token_f1" in known and not asked["scorers"] else known[0]
    if wanted not in known:
        raise Invalid(f"{wanted!r} is none of the metrics here", where="metric", hint=f"These are: {', '.join(known)}.")
    return str(wanted)
