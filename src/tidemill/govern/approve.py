"""Approving: a person other than the authors says, in a role that they hold, that one digest may go somewhere."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from sqlalchemy import Connection

from tidemill.core.errors import Denied, Invalid, NotFound
from tidemill.core.refs import is_digest, parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.govern.facts import authors_of_release
from tidemill.store import approvals, people, registry
from tidemill.store.access import ROLES
from tidemill.store.approvals import Approval
from tidemill.store.registry import LATEST
from tidemill.store.release import ROOT_KINDS, load_bundle

_LONGEST = 2000
_TURNS_TEXT = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """What is said and by whom: `who` (`person/…`), whose key has the role `held`, approves in `role`, for `target` or all."""

    who: str
    held: str
    role: str
    reason: str
    target: str = ""
    expires_ns: int | None = None


def approve(db: Connection, project: str, subject: str, signature: Signature, *, approval_id: str, now_ns: int) -> Approval:
    """Keep the approval of `subject`, a digest or a reference.

    Raises `Denied` when no person is named, they do not hold the role, or they wrote a part of it; `NotFound` for a release
    that was not made yet; `Invalid` for a reason that is empty, too long or would not be shown as it is; `Conflict` when they
    approved it already.
    """
    who = signature.who
    _check_role(who, held=signature.held, role=signature.role)
    check_reason(signature.reason)
    target = check_target(signature.target) if signature.target else ""
    if signature.expires_ns is not None and signature.expires_ns <= now_ns:
        raise Invalid("the approval would have expired already", hint="Write how long it holds, as in --expires 30d.")
    digest, root = subject_of(db, project, subject)
    if who in authors_of_release(db, project, digest):
        raise Denied(
            f"{who} wrote {root or digest[:19] + '…'} or a part of it, and nobody approves their own work",
            hint="Ask somebody else with the role, or have a key made: tidemill keys create --person NAME --role reviewer",
        )
    approval = Approval(
        id=approval_id,
        project=project,
        digest=digest,
        root=root,
        who=who,
        role=signature.role,
        reason=signature.reason.strip(),
        target=target,
        created_ns=now_ns,
        expires_ns=signature.expires_ns,
    )
    return approvals.add_approval(db, approval)


def subject_of(db: Connection, project: str, subject: str) -> tuple[str, str]:
    """The digest that an approval of `subject` is bound to, and what it is of; for an application, that of its release."""
    if is_digest(subject):
        found = registry.find_by_digest(db, project, subject, kind="release") or registry.find_by_digest(db, project, subject)
        if found is None:
            raise NotFound(f"nothing in project {project!r} has the digest {subject}", hint="List: tidemill get release")
        if found.kind == "release":
            return found.digest, load_bundle(db, project, found.digest).root.ref
        if found.kind not in ROOT_KINDS:
            return found.digest, found.ref
        subject = found.ref
    ref = parse_ref(subject)
    if ref.kind not in ROOT_KINDS:
        version = registry.get_version(db, project, ref)
        return version.digest, version.ref
    bundle = load_bundle(db, project, ref)
    if registry.find_by_digest(db, project, bundle.release, kind="release") is None:
        raise NotFound(
            f"{bundle.root.ref} has no release yet, and approvals are bound to one",
            hint=f"Whoever wrote it makes it: tidemill release {bundle.root.ref}",
        )
    return bundle.release, bundle.root.ref


def check_reason(reason: str) -> None:
    """Raise `Invalid` for a reason that is empty, over 2,000 characters, or holds what would be shown as something else."""
    if not reason.strip():
        raise Invalid("an approval needs a reason", where="reason", hint='Write --reason "what was looked at".')
    if len(reason) > _LONGEST:
        raise Invalid(f"the reason has {len(reason):,} characters", where="reason", hint=f"Use at most {_LONGEST:,}.")
    for each in reason:
        if (unicodedata.category(each) in {"Cc", "Cs"} and each not in "\n\t") or each in _TURNS_TEXT:
            raise Invalid(
                f"the reason holds U+{ord(each):04X}, which would not be shown as it is", where="reason", hint="Leave it out."
            )


def check_target(target: str) -> str:
    """Return what an approval may be for: `endpoint/NAME`, or `kind/NAME@ALIAS`. Raises `Invalid`."""
    ref = parse_ref(target, kind="endpoint") if "/" not in target else parse_ref(target)
    alias = ref.alias
    if ref.project is not None or (ref.kind == "endpoint") != (ref.version is None) or (ref.version and not alias):
        raise Invalid(
            f"{target!r} is nowhere that a release goes", where="for", hint="Write endpoint/NAME, or chain/NAME@ALIAS."
        )
    if alias == LATEST:
        raise Invalid("latest moves with every apply", where="for", hint="Name the alias that is deployed, as in @production.")
    return str(ref)


def _check_role(who: str, *, held: str, role: str) -> None:
    if not who.startswith(people.PERSON):
        raise Denied(
            f"an approval is signed by a person, and {who} names none",
            hint="Have a key made for them: tidemill keys create --person NAME --role reviewer",
        )
    if role not in ROLES:
        raise Invalid(f"{role!r} is not a role", where="role", hint=did_you_mean(role, ROLES))
    if held not in {role, "admin"}:
        raise Denied(
            f"{who} acts as {held}, and cannot approve as {role}",
            hint=f"Use a key with the role {role}, or write --role {held}.",
        )
