"""Promoting: the same digest, with its evidence, becomes what an application is in another environment.

Nothing is built. The alias of the environment's name moves through the policy door `promote`, and the endpoints whose document
follows that alias serve it, all in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection as Database

from tidemill.core.errors import Denied, Invalid, Problem
from tidemill.core.extend import PolicyCheck
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Bundle, Version
from tidemill.core.refs import Ref, check_alias
from tidemill.govern.environment_differences import Difference, Reported, differences, reported
from tidemill.models.needs import Need, SecretRef, missing_secrets, needs_of, refuse_missing
from tidemill.store import approvals, audit, endpoints, environments, evaluations, promotions
from tidemill.store.aliases import set_alias
from tidemill.store.environments import Environment
from tidemill.store.promotions import Promotion
from tidemill.store.registry import find_version
from tidemill.store.release import load_bundle

_EVALUATIONS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Who promotes what to where. `origin` is the environment that it comes from, None: the one that the rules name.

    `own` is the server's environment. `elsewhere` says that the target's secrets are on another machine.
    """

    to: str
    by: str
    own: str
    origin: str | None = None
    role: str | None = None
    why: str = ""
    elsewhere: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Prospect:
    """What a promotion would do and on what it rests. `before` is the release that is there now; None: none is.

    `compared` is the environment whose connections are compared with the target's; None: there is nothing to compare with.
    `in_origin` says whether the release was in the environment that it comes from.
    """

    environment: Environment
    root: Version
    release: str
    before: str | None
    origin: str | None
    compared: str | None
    in_origin: bool
    differences: tuple[Difference, ...]
    reported: tuple[Reported, ...]
    unset: tuple[Need, ...]
    missing: tuple[SecretRef, ...]
    follows: tuple[str, ...]
    evidence: JsonObject

    @property
    def target(self) -> str:
        """The alias that moves, as policies and approvals name it."""
        return f"{self.root.bare}@{self.environment.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Promoted:
    """What was done: `promotion` None when it was there already; `deployed` are the endpoints that serve it since."""

    prospect: Prospect
    promotion: Promotion | None
    deployed: tuple[str, ...] = field(default=())


def look_ahead(db: Database, project: str, bundle: Bundle, asked: Asked) -> Prospect:
    """What a promotion would do. Raises `NotFound` for an environment that is not known, `Invalid` for one to itself."""
    environment = environments.get_environment(db, project, check_alias(asked.to), own=asked.own)
    origin = asked.origin or environment.origin
    if origin is not None:
        environments.get_environment(db, project, origin, own=asked.own)
    if origin == asked.to:
        raise Invalid(f"{asked.to!r} is both where it comes from and where it goes", hint="Name two environments.")
    compared = origin or (asked.own if asked.own != asked.to else None)
    versions = tuple(bundle.versions.values())
    needs = needs_of(db, project, versions, asked.to)
    return Prospect(
        environment=environment,
        root=bundle.root,
        release=bundle.release,
        before=_release_at(db, project, bundle.root.bare, asked.to),
        origin=origin,
        compared=compared,
        in_origin=origin is not None and _is_in(db, project, bundle, origin, own=asked.own),
        differences=differences(db, project, versions, before=compared, after=asked.to),
        reported=reported(db, project, needs, before=compared, after=asked.to),
        unset=tuple(each for each in needs if each.connection is None),
        missing=missing_secrets(needs),
        follows=environments.followers(db, project, asked.to, bundle.root.bare),
        evidence=evidence_of(db, project, bundle.release, now_ns=None),
    )


def promote(
    db: Database, project: str, bundle: Bundle, asked: Asked, *, policies: PolicyCheck, promotion_id: str, now_ns: int
) -> Promoted:
    """Promote within this transaction; the same again changes nothing.

    Raises `Denied` when the release was not where it must come from, when a secret is missing, and when a policy says so;
    `Invalid` when a model's connection is not set there.
    """
    ahead = look_ahead(db, project, bundle, asked)
    refuse(ahead, asked)
    version = f"{ahead.root.bare}@v{ahead.root.number}"
    set_alias(
        db, project, version, asked.to, now_ns=now_ns, policies=policies, by=asked.by, role=asked.role,
        why=asked.why or "promote", door="promote",
    )  # fmt: skip
    deployed = _follow(db, project, ahead, asked, policies=policies, now_ns=now_ns)
    if ahead.before == ahead.release:
        return Promoted(prospect=ahead, promotion=None, deployed=deployed)
    kept = promotions.add_promotion(
        db,
        Promotion(
            id=promotion_id,
            project=project,
            environment=asked.to,
            root=ahead.root.ref,
            release=ahead.release,
            before=ahead.before,
            origin=ahead.origin if ahead.in_origin else None,
            promoted_by=asked.by,
            why=asked.why,
            evidence=evidence_of(db, project, ahead.release, now_ns=now_ns),
            promoted_ns=now_ns,
        ),
    )
    detail: JsonObject = {
        "promotion": kept.id, "release": kept.release, "root": kept.root, "before": kept.before, "from": kept.origin,
        "why": kept.why, "evidence": kept.evidence, "endpoints": list(deployed),
    }  # fmt: skip
    audit.append(db, project, who=asked.by, action="promote", target=ahead.target, detail=detail, now_ns=now_ns)
    return Promoted(prospect=ahead, promotion=kept, deployed=deployed)


def refuse(ahead: Prospect, asked: Asked) -> None:
    """Raise what stands in the way apart from the policies."""
    rule = ahead.environment.origin
    if rule is not None and (asked.origin not in {None, rule} or not ahead.in_origin):
        raise Denied(
            f"{ahead.root.ref} was not in {rule}, and what goes to {asked.to} comes from there",
            where=f"environment/{asked.to}",
            hint=f"Type: tidemill promote {ahead.root.ref} --to {rule}",
        )
    if ahead.unset:
        problems = [_unset(each, asked.to) for each in ahead.unset]
        raise Invalid(problems[0].message, where=problems[0].where, hint=problems[0].hint, problems=problems)
    if not asked.elsewhere:
        refuse_missing(ahead.missing, environment=asked.to)


def evidence_of(db: Database, project: str, release: str, *, now_ns: int | None) -> JsonObject:
    """What a release rests on: evaluations that are done, what gates decided on them, and approvals that hold (at `now_ns`)."""
    found = evaluations.list_evaluations(db, project, release=release, limit=_EVALUATIONS).items
    done = [each for each in found if each.status == "done"]
    gates: list[Json] = [
        {"gate": f"gate/{each.gate}", "evaluation": each.evaluation, "result": each.result}
        for row in done
        for each in evaluations.list_decisions(db, project, evaluation=row.id)
    ]
    given: list[Json] = [
        {"id": each.id, "who": each.who, "role": each.role, "for": each.target or None}
        for each in approvals.for_release(db, project, release)
        if each.revoked_ns is None and (now_ns is None or each.state(now_ns) == "valid")
    ]
    return {
        "evaluations": [{"id": each.id, "dataset": each.dataset, "environment": _environment_of(each.config)} for each in done],
        "gates": gates,
        "approvals": given,
    }


def _environment_of(config: JsonObject) -> Json:
    return config.get("environment")


def _follow(
    db: Database, project: str, ahead: Prospect, asked: Asked, *, policies: PolicyCheck, now_ns: int
) -> tuple[str, ...]:
    """Let the endpoints that follow the alias serve it; those that do so already are left out."""
    moved: list[str] = []
    known = {each.name: each for each in endpoints.list_endpoints(db, project)}
    for name in ahead.follows:
        now = known.get(name)
        if now is not None and (now.release, now.environment) == (ahead.release, asked.to):
            continue
        endpoints.deploy(
            db, project, name, release=ahead.release, root=ahead.root.ref, policies=policies, by=asked.by, role=asked.role,
            now_ns=now_ns, environment=asked.to,
        )  # fmt: skip
        moved.append(name)
    return tuple(moved)


def _release_at(db: Database, project: str, bare: str, alias: str) -> str | None:
    kind, _, name = bare.partition("/")
    found = find_version(db, project, Ref(kind=kind, name=name, version=alias))
    return None if found is None else load_bundle(db, project, found.ref).release


def _is_in(db: Database, project: str, bundle: Bundle, environment: str, *, own: str) -> bool:
    """Whether the release is what the application is there, was promoted there once, or is served there."""
    if _release_at(db, project, bundle.root.bare, environment) == bundle.release:
        return True
    if promotions.was_promoted(db, project, environment, bundle.release):
        return True
    served = environments.endpoints_in(db, project, environment, own=own)
    return any(each.release == bundle.release for each in endpoints.list_endpoints(db, project) if each.name in served)


def _unset(need: Need, environment: str) -> Problem:
    return Problem(
        message=f"connection/{need.name} is not set for environment {environment!r}",
        where=need.model.ref,
        hint=f"Write a document of kind connection named {need.name} with environment: {environment}, then tidemill apply.",
    )
