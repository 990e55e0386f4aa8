"""What a reference led to at a point in time: a version, an application, or configuration."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from tidemill.core.errors import Invalid, NotFound
from tidemill.core.records import Bundle, Version
from tidemill.core.refs import Ref, is_digest, parse_ref
from tidemill.store.config import Config, get_config, list_configs
from tidemill.store.endpoints import get_endpoint
from tidemill.store.registry import LATEST, find_by_digest, get_version
from tidemill.store.release import load_bundle
from tidemill.store.tables import alias_moves, endpoint_moves

_SERVED = ("deploy", "rollback", "promote", "abort")
"""The moves of an endpoint that say what all its callers get; a canary is for a share of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """What `ref` leads to, now or at a time: one of `version`, `bundle` and `config`. `digest` is None for configuration."""

    ref: str
    digest: str | None
    version: Version | None = None
    bundle: Bundle | None = None
    config: Config | None = None
    at_ns: int | None = None

    @property
    def name(self) -> str:
        """How a person tells it apart: `prompt/answer@v3`, or a release's digest."""
        return self.version.ref if self.version is not None else self.bundle.release if self.bundle is not None else self.ref


def point_of(db: Connection, project: str, text: str, *, environment: str, at_ns: int | None = None) -> Point:
    """What a reference leads to: a version, an alias, a release by its digest, `endpoint/x` for what it serves, `connection/x`.

    With `at_ns`, what it led to then. Raises `NotFound` when it led nowhere, and `Invalid` for what never moves.
    """
    if is_digest(text):
        return _release(db, project, text, text, at_ns)
    ref = parse_ref(text)
    if ref.kind == "evaluation":
        raise Invalid(f"{text} is an evaluation", hint="Compare two of them: tidemill compare EVALUATION EVALUATION")
    if ref.kind == "endpoint":
        return _release(db, project, text, _served(db, project, ref, at_ns), at_ns)
    if ref.kind in {"connection", "monitor", "environment"}:
        return _config(db, project, ref, environment=environment, at_ns=at_ns)
    if at_ns is not None:
        ref = _then(db, project, ref, at_ns)
    if ref.kind == "release":
        return _release(db, project, text, str(ref), at_ns)
    version = get_version(db, project, ref)
    return Point(ref=text, digest=version.digest, version=version, at_ns=at_ns)


def _release(db: Connection, project: str, text: str, named: str, at_ns: int | None) -> Point:
    try:
        bundle = load_bundle(db, project, named)
    except NotFound as error:
        found = None if not is_digest(named) or named != text else find_by_digest(db, project, named)
        if found is None:
            raise
        raise Invalid(f"{text[:19]}… is {found.ref}, not a release", hint=f"Write {found.ref}.") from error
    return Point(ref=text, digest=bundle.release, bundle=bundle, at_ns=at_ns)


def _served(db: Connection, project: str, ref: Ref, at_ns: int | None) -> str:
    now = get_endpoint(db, project, ref.name)
    if at_ns is None:
        return now.release
    moves = endpoint_moves.c
    query = select(moves.release).where(
        moves.project == project, moves.endpoint == ref.name, moves.moved_ns <= at_ns, moves.action.in_(_SERVED)
    )
    release = db.execute(query.order_by(moves.id.desc()).limit(1)).scalar()
    if release is None:
        raise NotFound(f"{ref.bare} served nothing then", hint=f"See when it began: tidemill show {ref.bare}")
    return release


def _then(db: Connection, project: str, ref: Ref, at_ns: int) -> Ref:
    """The version that an alias, or the latest, was at that time."""
    if ref.number is not None or ref.digest is not None:
        raise Invalid(f"{ref} is the same at any time", hint=f"Leave the version out, or name an alias: {ref.bare}@production.")
    get_version(db, project, ref.at(None))
    moves = alias_moves.c
    query = select(moves.after).where(
        moves.project == project, moves.kind == ref.kind, moves.name == ref.name, moves.moved_ns <= at_ns,
        moves.alias == (ref.version or LATEST),
    )  # fmt: skip
    number = db.execute(query.order_by(moves.id.desc()).limit(1)).scalar()
    if not number:
        raise NotFound(f"{ref} led nowhere then", hint=f"See its moves: tidemill history {ref.bare}")
    return ref.at(f"v{number}")


def _config(db: Connection, project: str, ref: Ref, *, environment: str, at_ns: int | None) -> Point:
    """Configuration; its version is the environment, as in `connection/openai@staging`."""
    if at_ns is not None:
        raise Invalid(f"of {ref.bare} only what is set now is kept", hint="See who changed it when: tidemill audit list")
    if ref.version is None:
        found = get_config(db, project, ref.kind, ref.name, environment)
    else:
        same = [each for each in list_configs(db, project, kind=ref.kind) if each.name == ref.name]
        chosen = next((each for each in same if each.environment == ref.version), None)
        if chosen is None:
            listed = ", ".join(str(each.environment) for each in same if each.environment) or "none"
            raise NotFound(f"{ref.bare} is not set for environment {ref.version!r}", hint=f"Environments here: {listed}.")
        found = chosen
    return Point(ref=str(ref), digest=None, config=found)
