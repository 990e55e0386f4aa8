"""Which scorers an evaluation uses: named ones, scorers of the project, or those that fit the dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import cast

from tidemill.core.digests import digest_json
from tidemill.core.errors import Invalid
from tidemill.core.extend import Scorer, extension_names, load_extension
from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.core.suggest import did_you_mean
from tidemill.flows.load_code import load_callable

_FITTING: Mapping[str, tuple[str, ...]] = {
    "reference": ("exact_match", "contains", "token_f1"),
    "gold": ("recall_at_k", "ndcg_at_k", "mrr"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A scorer under the name of its metric. `digest` covers what it is, its version and its options."""

    metric: str
    scorer: Scorer
    digest: str


def choose_scorers(names: Sequence[str], *, dataset: Version | None, project: Callable[[str], Version]) -> list[Chosen]:
    """The scorers by name: a built-in's, or `scorer/NAME` of the project, which `project` looks up. No name: those that fit.

    `dataset` may be None where there are names. Raises `Invalid` for a name that is not known, twice the same metric, or a
    dataset without anything to score by.
    """
    wanted = list(names) or (fitting_names(dataset) if dataset is not None else [])
    chosen = [_of_version(project(name)) if "/" in name else make_scorer(name, {}) for name in wanted]
    metrics = [each.metric for each in chosen]
    for metric in metrics:
        if metrics.count(metric) > 1:
            raise Invalid(f"the scorer {metric!r} is named twice", hint="Name it once, or give one another name.")
    return chosen


def fitting_names(dataset: Version) -> list[str]:
    """The built-in scorers that a dataset's roles allow."""
    roles = dataset.spec.get("roles")
    given = set(roles) if isinstance(roles, Mapping) else set[str]()
    names = [name for role, fitting in _FITTING.items() if role in given for name in fitting]
    if not names:
        raise Invalid(
            f"{dataset.ref} has neither a reference nor gold documents to score by",
            hint="Add roles: {reference: COLUMN} or {gold: COLUMN}, or name a scorer that needs neither.",
        )
    return names


def make_scorer(name: str, options: JsonObject, *, metric: str | None = None) -> Chosen:
    """A scorer that is installed, with options. Raises `Invalid` for an unknown name or option."""
    if name not in extension_names("scorers"):
        raise Invalid(f"{name!r} is not a known scorer", hint=did_you_mean(name, extension_names("scorers")))
    factory = cast("Callable[..., Scorer]", load_extension("scorers", name))
    _check_options(name, factory, options)
    try:
        scorer = factory(**options)
    except TypeError as error:
        raise Invalid(f"{name} does not take these options: {error}", where="options") from error
    digest = digest_json({"scorer": name, "version": scorer.version, "options": options, "reads": sorted(scorer.reads)})
    return Chosen(metric=metric or scorer.name, scorer=scorer, digest=digest)


def _check_options(name: str, factory: object, options: JsonObject) -> None:
    if not is_dataclass(factory):
        return
    known = {each.name for each in fields(factory)} - {"name", "reads", "version", "binary"}
    for option in options:
        if option not in known:
            raise Invalid(f"{name} has no option {option!r}", where=f"options.{option}", hint=did_you_mean(option, known))


def _of_version(version: Version) -> Chosen:
    """The scorer that an artifact of kind `scorer` describes, under the artifact's name."""
    code = version.spec.get("code")
    if isinstance(code, Mapping):
        from tidemill.evaluation.scorers.own import OwnScorer  # noqa: PLC0415  (imports the user's code)

        reads = cast("Sequence[str]", version.spec.get("reads", ("output", "reference")))
        function = load_callable(code, what=version.ref)
        scorer = OwnScorer(name=version.name, reads=frozenset(reads), function=function, version=version.digest)
        return Chosen(metric=version.name, scorer=scorer, digest=version.digest)
    options = cast("JsonObject", version.spec.get("options", {}))
    return make_scorer(str(version.spec["scorer"]), options, metric=version.name)
