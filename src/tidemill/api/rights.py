"""Which role may take which route. A route that is not named here reads when it is a GET, and develops otherwise.

Whether a release may go where it is protected is asked apart from this, of the policies: see `tidemill.govern.policy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from tidemill.core.errors import Denied
from tidemill.store.access import Role

Right: TypeAlias = Literal["read", "annotate", "attest", "develop", "deploy", "approve", "administer"]
PREFIX: Final = "/api/v1/projects/{project}"

RIGHTS: Final[Mapping[Role, frozenset[Right]]] = {
    "viewer": frozenset({"read"}),
    "annotator": frozenset({"read", "annotate"}),
    "reviewer": frozenset({"read", "annotate", "attest", "approve"}),
    "developer": frozenset({"read", "annotate", "attest", "develop", "deploy"}),
    "operator": frozenset({"read", "annotate", "attest", "develop", "deploy"}),
    "admin": frozenset({"read", "annotate", "attest", "develop", "deploy", "approve", "administer"}),
}
"""What each role may do. Only an operator and an admin may deploy to what a policy protects, and weaken such a policy."""

_ROUTES: Final[Mapping[str, Right]] = {
    "POST /comparisons": "read",
    "POST /indexes/{name}:search": "read",
    "POST /spans:search": "read",
    "POST /query": "read",
    "POST /policies:check": "read",
    "POST /evidence/watermark": "read",
    "POST /evidence": "attest",
    "POST /feedback": "annotate",
    "POST /feedback:batch": "annotate",
    "PUT /artifacts/{kind}/{name}/aliases/{alias}": "deploy",
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
    "DELETE /keys/{key_id}": "administer",
}
_WORDS: Final[Mapping[Right, str]] = {
    "read": "look", "annotate": "give feedback", "attest": "make evidence", "develop": "change or run anything here",
    "deploy": "change what is served", "approve": "approve", "administer": "make or revoke keys",
}  # fmt: skip


def right_of(method: str, path: str) -> Right:
    """The right that a route needs; `path` as the OpenAPI document has it, with or without the project's part."""
    named = _ROUTES.get(f"{method} {path.removeprefix(PREFIX)}")
    return named or ("read" if method in {"GET", "HEAD"} else "develop")


def check_right(role: Role, right: Right) -> None:
    """Raise `Denied`, naming the roles that may, when this role may not."""
    if right not in RIGHTS[role]:
        may = [each for each, rights in RIGHTS.items() if right in rights]
        article = "an" if role[0] in "ao" else "a"
        raise Denied(f"{article} {role} may not {_WORDS[right]}", hint=f"Use a key with the role {' or '.join(may)}.")
