"""Which right a route needs, and on what. A GET reads; everything else is named here, and a test finds what is not.

What somebody may do is `tidemill.store.grants`; whether a release may go where it is protected is asked apart from this, of
the policies: see `tidemill.govern.policy`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tidemill.core.errors import Denied
from tidemill.store import denials
from tidemill.store.access import Principal
from tidemill.store.grants import RIGHTS, Right

__all__ = ["PREFIX", "RIGHTS", "Right", "check_right", "is_stated", "right_of", "target_of"]

_CONVERTER: Final = re.compile(r":[a-z]+\}")
PREFIX: Final = "/api/v1/projects/{project}"

_ROUTES: Final[Mapping[str, Right]] = {
    "POST /comparisons": "read",
    "POST /diff": "read",
    "POST /indexes/{name}:search": "read",
    "POST /spans:search": "read",
    "POST /query": "read",
    "POST /spans:reprice": "develop",
    "POST /policies:check": "read",
    "POST /evidence/watermark": "read",
    "POST /evidence": "attest",
    "POST /feedback": "annotate",
    "POST /traces/{trace_id}/scores": "annotate",
    "PUT /saved-queries/{name}": "annotate",
    "DELETE /saved-queries/{name}": "annotate",
    "POST /feedback:batch": "annotate",
    "PUT /artifacts/{kind}/{name}/aliases/{alias}": "deploy",
    "DELETE /artifacts/{kind}/{name}/aliases/{alias}": "deploy",
    "POST /releases:verify": "read",
    "POST /artifacts:purge": "administer",
    "POST /datasets/{name}/samples:erase": "administer",
    "POST /traces:import": "ingest",
    "POST /traces:erase": "administer",
    "PUT /endpoints/{name}": "deploy",
    "POST /endpoints/{name}:deploy": "deploy",
    "POST /endpoints/{name}:rollback": "deploy",
    "POST /environments/{name}:promote": "deploy",
    "POST /rollouts": "deploy",
    "POST /rollouts/{rollout}:promote": "deploy",
    "POST /rollouts/{rollout}:abort": "deploy",
    "POST /approvals": "approve",
    "DELETE /approvals/{approval}": "approve",
    "POST /keys": "administer",
    "PATCH /keys/{key_id}": "administer",
    "DELETE /keys/{key_id}": "administer",
    "POST /keys/{key_id}:rotate": "administer",
    "PATCH ": "administer",
    "POST /access": "administer",
    "DELETE /access/{rule}": "administer",
    "POST /access:check": "read",
    "GET /export": "administer",
    "POST /import": "administer",
    "GET /blobs/{digest}": "develop",
    "PATCH /artifacts/{kind}/{name}": "develop",
    "DELETE /artifacts/{kind}/{name}": "develop",
    "DELETE /artifacts/{kind}/{name}/versions/{version}": "develop",
    "POST /artifacts/{kind}/{name}:restore": "develop",
    "POST /lineage/openlineage": "develop",
    "POST /pull": "develop",
    "POST /pull:written": "develop",
    "POST /plan": "develop",
    "POST /apply": "develop",
    "POST /blobs:missing": "develop",
    "PUT /blobs/{digest}": "develop",
    "POST /releases": "develop",
    "POST /runs": "develop",
    "POST /models:compare": "develop",
    "POST /datasets/{name}/samples": "develop",
    "POST /datasets/{name}:from-traces": "develop",
    "POST /evaluations": "develop",
    "POST /gates/{name}:check": "develop",
    "POST /indexes/{name}:build": "develop",
    "POST /jobs/{job_id}:cancel": "develop",
    "POST /pipelines/{name}:run": "develop",
    "POST /pipeline-runs/{run}:cancel": "develop",
    "POST /monitor-runs": "develop",
    "POST /monitor-runs/{run}:accept": "develop",
    "POST /alerts/{alert}:ack": "develop",
    "POST /tunes:estimate": "develop",
    "POST /tunes": "develop",
}
OUTSIDE: Final[Mapping[str, str]] = {
    "GET /api/v1/projects": "anybody",
    "POST /api/v1/projects": "administrator",
    "GET /api/v1/people": "administrator",
    "POST /api/v1/people": "administrator",
    "GET /api/v1/people/{name}": "administrator",
    "PATCH /api/v1/people/{name}": "administrator",
    "GET /api/v1/access": "administrator",
    "POST /api/v1/access": "administrator",
    "DELETE /api/v1/access/{rule}": "administrator",
    "POST /api/v1/login-links": "anybody",
    "GET /api/v1/session": "anybody",
    "DELETE /api/v1/session": "anybody",
    "GET /api/v1/sessions": "anybody",
    "DELETE /api/v1/sessions/{session}": "anybody",
    "GET /api/v1/audit": "administrator",
    "GET /api/v1/database": "administrator",
    "GET /api/v1/database/backup": "administrator",
    "GET /api/v1/audit/verify": "administrator",
    "GET /api/v1/audit/export": "administrator",
}
"""Who may take the routes of no project: anybody known, in what is theirs, or whoever administers every project."""
_ASKED_WITHIN: Final = frozenset(
    {
        "POST /plan", "POST /apply", "POST /blobs:missing", "PUT /blobs/{digest}", "POST /rollouts", "POST /approvals",
        "POST /rollouts/{rollout}:promote", "POST /rollouts/{rollout}:abort", "DELETE /approvals/{approval}",
        "POST /environments/{name}:promote", "POST /diff",
    }
)  # fmt: skip
"""Routes whose target stands in the body, or behind an id: they ask `Caller.check` once they know it."""
_KINDS: Final[Mapping[str, str]] = {
    "endpoints": "endpoint", "datasets": "dataset", "indexes": "index", "gates": "gate", "pipelines": "pipeline",
    "monitors": "monitor", "models": "model", "prompts": "prompt", "routes": "route", "environments": "environment",
}  # fmt: skip
_WORDS: Final[Mapping[Right, str]] = {
    "read": "look", "ingest": "send telemetry", "annotate": "give feedback", "attest": "make evidence",
    "develop": "change or run anything here", "deploy": "change what is served", "approve": "approve",
    "administer": "administer this project",
}  # fmt: skip


def right_of(method: str, path: str) -> Right:
    """The right that a route needs; `path` as the OpenAPI document has it, with or without the project's part."""
    named = _ROUTES.get(f"{method} {_below(path)}")
    return named or ("read" if method in {"GET", "HEAD"} else "develop")


def is_stated(method: str, path: str) -> bool:
    """Whether the right of a route is named, or is to read because it is a GET."""
    below = _below(path)
    return f"{method} {below}" in (_ROUTES if path.startswith(PREFIX) else OUTSIDE) or (method == "GET" and below != path)


def target_of(path: str, named: Mapping[str, str]) -> str:
    """What a route of a project is about, as in `endpoint/prod` and `chain/help@live`; empty is the project itself."""
    below = _below(path)
    noun = below.strip("/").partition("/")[0].partition(":")[0]
    if noun == "artifacts" and "name" in named:
        alias = f"@{named['alias']}" if "alias" in named else ""
        return f"{named['kind']}/{named['name']}{alias}"
    return f"{_KINDS[noun]}/{named['name']}" if noun in _KINDS and "name" in named else ""


def check_route(principal: Principal, method: str, path: str, named: Mapping[str, str]) -> None:
    """Raise `Denied` when somebody may not take a route; `path` and its parameters as the route has them."""
    right = right_of(method, path)
    if f"{method} {_below(path)}" in _ASKED_WITHIN and principal.may_somewhere(right):
        return
    check_right(principal, right, target_of(path, named))


def _below(path: str) -> str:
    """A route's path below the project, as the OpenAPI document has it."""
    return _CONVERTER.sub("}", path).removeprefix(PREFIX)


def check_right(principal: Principal, right: Right, target: str = "") -> None:
    """Raise `Denied`, saying why and who may, when somebody may not do this to `target`, or to the project."""
    decision = principal.decide(right, target)
    if not decision.allowed:
        error = _denied(principal, right, target, decision.why)
        denials.refused(error, target=target)
        raise error


def _denied(principal: Principal, right: Right, target: str, why: str) -> Denied:
    if principal.standing is None and principal.rights is None:
        may = [each for each, rights in RIGHTS.items() if right in rights]
        article = "an" if principal.role[0] in "ao" else "a"
        return Denied(
            f"{article} {principal.role} may not {_WORDS[right]}", hint=f"Use a key with the role {' or '.join(may)}."
        )
    about = f" ({right} {target})" if target else f" ({right})"
    name = principal.person or principal.who
    return Denied(
        f"{principal.who} may not {_WORDS[right]}{about}: {why}",
        hint=f"See: tidemill access check {name} {right} {target}".rstrip(),
    )
