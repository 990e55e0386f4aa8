"""What the platform knows of a release when a policy asks: what was measured, what gates decided, who approved."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from sqlalchemy import Connection

from tidemill.core.errors import NotFound
from tidemill.core.extend import Door
from tidemill.core.records import Version
from tidemill.store import approvals as store_approvals
from tidemill.store import evaluations, people, registry
from tidemill.store.access import ROLES
from tidemill.store.approvals import Approval
from tidemill.store.evaluations import Decision, EvaluationRow
from tidemill.store.release import load_bundle

Values: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """What a gate said of a release; `decision` None: nothing. `other` is the newest by another version of the gate."""

    version: Version
    decision: Decision | None
    evaluation: EvaluationRow | None = None
    other: Decision | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """All of it; `ref` is what to type for the digest.

    `passed_over` are approvals that do not count, each with the reason; `gates` are by reference as written.
    """

    door: Door
    target: str
    digest: str
    ref: str
    who: str
    now_ns: int
    root: Version | None
    hermetic: bool
    artifacts: Mapping[str, str]
    authors: frozenset[str]
    evaluation: EvaluationRow | None
    approvals: tuple[Approval, ...]
    passed_over: tuple[tuple[Approval, str], ...]
    gates: Mapping[str, Decided] = field(default_factory=dict[str, Decided])

    def values(self) -> Values:
        """The variables of a rule, as `FIELDS` of `rules` names their parts."""
        return {
            "approvals": [_approval_value(each) for each in self.approvals],
            "evaluation": _evaluation_value(self.evaluation),
            "release": self._release_value(),
            "who": self.who,
            "now": _time(self.now_ns),
            "door": self.door,
            "target": self.target,
        }

    def gate(self, name: str) -> Values:
        """The function `gate` of a rule; empty when the gate decided nothing, so that reading from it fails."""
        found = self.gates.get(name if "/" in name else f"gate/{name}")
        if found is None or found.decision is None:
            return {}
        return {
            "result": found.decision.result,
            "evaluation": _evaluation_value(found.evaluation),
            "against": found.decision.against or "",
            "version": found.version.ref,
            "at": _time(found.decision.decided_ns),
        }

    def _release_value(self) -> Values:
        root = self.root
        return {
            "digest": self.digest,
            "root": "" if root is None else root.ref,
            "name": "" if root is None else root.bare,
            "hermetic": self.hermetic,
            "artifacts": dict(self.artifacts),
            "authors": sorted(self.authors),
            "tags": {} if root is None else dict(root.tags),
            "owner": "" if root is None else root.owner,
        }


def gather(
    db: Connection,
    project: str,
    *,
    door: Door,
    target: str,
    release: str,
    who: str,
    now_ns: int,
    gates: Mapping[str, Version],
) -> Facts:
    """Read what is known of a digest. An approval counts when it holds, is for this target, and is not of whoever acts."""
    root, hermetic, artifacts = _content(db, project, release)
    counted: list[Approval] = []
    passed_over: list[tuple[Approval, str]] = []
    authors = authors_of_release(db, project, release)
    for each in store_approvals.for_release(db, project, release):
        why = _why_not(each, target=target, who=who, authors=authors, now_ns=now_ns)
        if why:
            passed_over.append((each, why))
        else:
            counted.append(each)
    return Facts(
        door=door,
        target=target,
        digest=release,
        ref=_ref(db, project, release),
        who=who,
        now_ns=now_ns,
        root=root,
        hermetic=hermetic,
        artifacts=artifacts,
        authors=authors,
        evaluation=evaluations.latest_evaluation(db, project, release),
        approvals=tuple(counted),
        passed_over=tuple(passed_over),
        gates={written: _decided(db, project, release, version) for written, version in gates.items()},
    )


def authors_of_release(db: Connection, project: str, digest: str) -> frozenset[str]:
    """Who wrote it: whoever first kept the release, or any version in it; for a machine, also whoever wrote that."""
    found = people.authors_of(db, project, {digest, *_content(db, project, digest)[2].values()})
    makers = {people.maker_of(db, project, *each.split("/", 1)) for each in found if people.is_machine(each)}
    return frozenset(found | makers - {""})


def sample_values(metrics: Iterable[str]) -> tuple[Values, Values]:
    """Made-up variables and a made-up gate, in which everything is there, to try a rule on when it is written."""
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    measured = {each: {"mean": 0.5, "interval": [0.4, 0.6], "n": 100} for each in metrics}
    evaluation = {"id": "", "dataset": "dataset/x@v1", "samples": 100, "errors": 0, "metrics": measured, "at": at}
    approval: Values = {"id": "", "who": "person/x", "reason": "", "target": "", "at": at, "expires": at}
    names = dict.fromkeys(("digest", "root", "name", "owner"), "")
    release: Values = {**names, "hermetic": True, "artifacts": {}, "authors": [], "tags": {}}
    values: Values = {
        "approvals": [{**approval, "role": role} for role in ROLES for _ in range(3)],
        "evaluation": evaluation, "release": release, "who": "person/x", "now": at, "door": "deploy", "target": "endpoint/x",
    }  # fmt: skip
    gate: Values = {"result": "passed", "evaluation": evaluation, "against": "", "version": "gate/x@v1", "at": at}
    return values, gate


def _ref(db: Connection, project: str, digest: str) -> str:
    found = registry.find_by_digest(db, project, digest, kind="release") or registry.find_by_digest(db, project, digest)
    return digest if found is None else found.ref


def _content(db: Connection, project: str, digest: str) -> tuple[Version | None, bool, Mapping[str, str]]:
    """The root, whether the digest covers all that runs, and what it locks by reference; for no release, the version alone."""
    try:
        bundle = load_bundle(db, project, digest)
    except NotFound:
        version = registry.find_by_digest(db, project, digest)
        if version is None:
            return None, False, {}
        return version, registry.is_hermetic(db, version), {version.bare: version.digest}
    locked = {f"{each.bare}@{each.digest}": each.digest for each in bundle.versions.values()}
    bare = {each.bare: each.digest for each in bundle.versions.values()}
    return bundle.root, bundle.hermetic, bare if len(bare) == len(locked) else locked


def _why_not(approval: Approval, *, target: str, who: str, authors: frozenset[str], now_ns: int) -> str:
    """Why an approval does not count; empty when it does."""
    state = approval.state(now_ns)
    if state != "valid":
        return f"it was revoked by {approval.revoked_by}" if state == "revoked" else "it has expired"
    if not approval.is_for(target):
        return f"it is for {approval.target}"
    if approval.who == who:
        return f"{who} cannot both approve it and put it there"
    return f"{approval.who} wrote a part of it" if approval.who in authors else ""


def _decided(db: Connection, project: str, release: str, gate: Version) -> Decided:
    found = evaluations.decisions_on_release(db, project, release, gate=gate.name)
    by_this = [each for each in found if each.detail.get("gate_digest") == gate.digest]
    if not by_this:
        return Decided(version=gate, decision=None, other=found[0] if found else None)
    return Decided(
        version=gate,
        decision=by_this[0],
        evaluation=evaluations.get_evaluation(db, project, by_this[0].evaluation),
    )


def _evaluation_value(row: EvaluationRow | None) -> Values:
    if row is None:
        return {}
    result = cast("Mapping[str, Any]", row.result or {})
    return {
        "id": row.id,
        "dataset": row.dataset,
        "samples": result.get("samples", 0),
        "errors": result.get("errors", 0),
        "metrics": dict(result.get("metrics") or {}),
        "at": _time(row.created_ns),
    }


def _approval_value(approval: Approval) -> Values:
    return {
        "id": approval.id,
        "who": approval.who,
        "role": approval.role,
        "reason": approval.reason,
        "target": approval.target,
        "at": _time(approval.created_ns),
        "expires": None if approval.expires_ns is None else _time(approval.expires_ns),
    }


def _time(ns: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(ns / 1e9, dt.UTC)
