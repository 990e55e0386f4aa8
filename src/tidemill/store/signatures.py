"""Signatures of releases: Ed25519 over the release's digest, made with the platform's key when the release is made.

What is signed is `tidemill-release/1`, a line feed, and the digest as it is written, so that a signature of a release is one
of nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

from sqlalchemy import BigInteger, Column, Connection, String, Table, insert, select

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.store import audit
from tidemill.store.projects import SYSTEM
from tidemill.store.signing import Signature, verify
from tidemill.store.tables import metadata

DOMAIN = b"tidemill-release/1\n"
ALGORITHM = "Ed25519"
Signer: TypeAlias = Callable[[bytes], Signature]
"""Signs a message with the platform's key."""

release_signatures = Table(
    "release_signatures",
    metadata,
    Column("project", String, primary_key=True),
    Column("release", String, primary_key=True),
    Column("public_key", String, nullable=False),
    Column("signature", String, nullable=False),
    Column("signed_ns", BigInteger, nullable=False),
)


def message_of(digest: str) -> bytes:
    """The bytes that a release's signature is over."""
    return DOMAIN + digest.encode()


def sign_release(db: Connection, project: str, digest: str, *, signer: Signer, now_ns: int, by: str = "") -> Signature:
    """The release's signature, made now when it has none. The first by a key notes in the audit that there is this key."""
    found = find_signature(db, project, digest)
    if found is not None:
        return found
    made = signer(message_of(digest))
    row = {"public_key": made.public_key.hex(), "signature": made.signature.hex(), "signed_ns": now_ns}
    db.execute(insert(release_signatures), {"project": project, "release": digest, **row})
    note_key(db, made.fingerprint, by=by, now_ns=now_ns)
    return made


def note_key(db: Connection, fingerprint: str, *, by: str, now_ns: int) -> None:
    """Add a line about a key that signs for the platform, once for each, to the chain of what belongs to no project."""
    at = {"project": SYSTEM, "action": "signing_key.made", "target": fingerprint}
    if db.execute(select(audit.audit.c.number).filter_by(**at).limit(1)).first() is None:
        detail: JsonObject = {"algorithm": ALGORITHM}
        audit.append(db, who=by or "admin", detail=detail, now_ns=now_ns, **at)


def find_signature(db: Connection, project: str, digest: str) -> Signature | None:
    """The signature of a release; None when it was made before releases were signed."""
    row = db.execute(select(release_signatures).filter_by(project=project, release=digest)).first()
    if row is None:
        return None
    return Signature(public_key=bytes.fromhex(row.public_key), signature=bytes.fromhex(row.signature))


def is_signed(digest: str, signature: Signature) -> bool:
    """Whether the signature is one of this release by its public key."""
    return verify(message_of(digest), signature)


def signature_json(signature: Signature) -> JsonObject:
    """As the lock file and the API carry it."""
    return {
        "algorithm": ALGORITHM,
        "public_key": signature.public_key.hex(),
        "fingerprint": signature.fingerprint,
        "signature": signature.signature.hex(),
    }


def read_signature(value: Json) -> Signature:
    """Out of that form. Raises `Invalid`."""
    given = cast("Mapping[str, Json]", value if isinstance(value, Mapping) else {})
    try:
        if given.get("algorithm") != ALGORITHM:
            raise ValueError(str(given.get("algorithm")))
        return Signature(public_key=bytes.fromhex(str(given["public_key"])), signature=bytes.fromhex(str(given["signature"])))
    except (KeyError, ValueError) as error:
        raise Invalid("the lock's signature has no form that is known") from error
