"""What a document says of kept answers: `cache:` of a model, a route, an embedder or an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, cast

import msgspec

from tidemill.core.durations import parse_duration
from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import Json, JsonObject
from tidemill.core.refs import parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.models.caller import Caller

Share: TypeAlias = Literal["user", "key", "project"]

_KEYS: Final = ("ttl", "share", "semantic")
_SEMANTIC: Final = ("embedder", "threshold")
_SHARES: Final = ("user", "key", "project")
_TTL: Final = 3600.0
_HINT: Final = "Write cache: on, or cache: {ttl: 1h, share: user}."


class Semantic(msgspec.Struct, frozen=True, kw_only=True):
    """Answers to questions of the same meaning. `threshold` is the least cosine of two questions' embeddings, 0 to 1."""

    embedder: str
    threshold: float


class CachePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long answers are kept, in seconds, and who gets them: one user of one key, all who use a key, or the project."""

    ttl: float = _TTL
    share: Share = "user"
    semantic: Semantic | None = None


def read_cache(value: Json, *, where: str = "cache") -> JsonObject | None:
    """The canonical form of what a document says; None for `off`. Raises `Invalid`, naming the place."""
    if value in (False, "off"):
        return None
    if value in (True, "on"):
        value = {}
    if not isinstance(value, Mapping):
        raise Invalid(f"{where} is {value!r}", where=where, hint=_HINT)
    _check_keys(value, _KEYS, where)
    share = value.get("share", "user")
    if share not in _SHARES:
        raise Invalid(f"share is {share!r}", where=f"{where}.share", hint=f"One of {', '.join(_SHARES)}.")
    try:
        ttl = parse_duration(value.get("ttl", _TTL), what="ttl")
    except Invalid as error:
        raise Invalid(error.message, where=f"{where}.ttl", hint=error.hint) from error
    spec: dict[str, Json] = {"ttl": ttl, "share": share}
    if value.get("semantic") not in (None, False, "off"):
        spec["semantic"] = _read_semantic(value["semantic"], f"{where}.semantic")
    return spec


def parse_cache(given: Json, *, semantic: bool = True) -> tuple[JsonObject | None, list[Problem]]:
    """As `read_cache`, with what is wrong in place of an error; None is `off`. `semantic` False: nothing has a meaning."""
    if given is None:
        return None, []
    try:
        spec = read_cache(given)
    except Invalid as error:
        return None, [Problem(message=error.message, where=error.where, hint=error.hint)]
    if spec is not None and "semantic" in spec and not semantic:
        hint = "Leave semantic out: a vector belongs to its text alone."
        return None, [Problem(message="vectors are not found by their meaning", where="cache.semantic", hint=hint)]
    return spec, []


def _read_semantic(value: Json, where: str) -> JsonObject:
    hint = "Write semantic: {embedder: embedder/NAME, threshold: 0.95}."
    if not isinstance(value, Mapping):
        raise Invalid(f"semantic is {value!r}", where=where, hint=hint)
    _check_keys(value, _SEMANTIC, where)
    embedder, threshold = value.get("embedder"), value.get("threshold")
    if not isinstance(embedder, str):
        raise Invalid("semantic names no embedder", where=f"{where}.embedder", hint=hint)
    try:
        parse_ref(embedder, kind="embedder")
    except Invalid as error:
        raise Invalid(error.message, where=f"{where}.embedder", hint=error.hint) from error
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
        hint = "A cosine above 0, at most 1; measure which one holds for your embedder and your questions."
        raise Invalid(f"threshold is {threshold!r}", where=f"{where}.threshold", hint=hint)
    return {"embedder": embedder, "threshold": float(threshold)}


def _check_keys(value: JsonObject, known: tuple[str, ...], where: str) -> None:
    for key in value:
        if key not in known:
            raise Invalid(f"unknown key {key!r}", where=f"{where}.{key}", hint=did_you_mean(key, known))


def policy_of(spec: Json) -> CachePolicy | None:
    """The policy of a canonical form, as `read_cache` gives it."""
    if not isinstance(spec, Mapping):
        return None
    found = spec.get("semantic")
    semantic = None
    if isinstance(found, Mapping):
        semantic = Semantic(embedder=str(found["embedder"]), threshold=float(cast("float", found["threshold"])))
    return CachePolicy(ttl=float(cast("float", spec["ttl"])), share=cast("Share", spec["share"]), semantic=semantic)


def scope_of(caller: Caller, share: Share) -> list[Json]:
    """Whose answers these are. Without a user a key's own; the platform's callers without a key share theirs."""
    if share == "project":
        return []
    return [caller.key] if share == "key" else [caller.key, caller.user]


def semantic_reference(spec: JsonObject) -> dict[str, str]:
    """The embedder that a canonical form names, by its place in the document."""
    found = spec.get("semantic")
    return {"cache.semantic.embedder": str(found["embedder"])} if isinstance(found, Mapping) else {}
