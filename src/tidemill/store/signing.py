"""The platform's Ed25519 key (RFC 8032): made at first use in the data folder, mode 0600, and never shown."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Invalid
from tidemill.store.disk import disk_errors, write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_KEY = Path("keys") / "evidence.pem"
_MAKING = threading.Lock()


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """Who signed, as 32 bytes of public key, and the 64 bytes of the signature."""

    public_key: bytes
    signature: bytes

    @property
    def fingerprint(self) -> str:
        """How the key is told apart: `sha256:` of its 32 bytes."""
        return digest_bytes(self.public_key)


def platform_key(data: Path) -> tuple[Path, bool]:
    """The file of the platform's key below the data folder, made (mode 0600) when there is none; whether it was made now."""
    path = data / _KEY
    with _MAKING:
        return path, not path.exists() and _make(path)


def _make(path: Path) -> bool:
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415  (heavy)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  (heavy)

    made = Ed25519PrivateKey.generate()
    pem = made.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    with disk_errors(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, pem, mode=0o600)
    return True


def sign(message: bytes, *, key: Path) -> Signature:
    """Sign with the private key in a PEM file (PKCS 8, without a password).

    Raises `Invalid` when it is none, or when others may read it.
    """
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415  (heavy)

    private = _load(key)
    public = private.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)
    return Signature(public_key=public, signature=private.sign(message))


def verify(message: bytes, signature: Signature) -> bool:
    """Whether the signature over `message` was made with the private half of its public key."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  (heavy)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415  (heavy)

    try:
        Ed25519PublicKey.from_public_bytes(signature.public_key).verify(signature.signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _load(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  (heavy)
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415  (heavy)

    hint = "Make one: openssl genpkey -algorithm ed25519 -out key.pem && chmod 600 key.pem"
    try:
        content = path.read_bytes()
        if path.stat().st_mode & 0o077:
            raise Invalid("others may read the key", where=str(path), hint=f"Type: chmod 600 {path}")
        key = load_pem_private_key(content, password=None)
    except OSError as error:
        raise Invalid(f"the key cannot be read: {error.strerror}", where=str(path), hint=hint) from error
    except (TypeError, ValueError) as error:
        raise Invalid("it is not a private key in PEM, without a password", where=str(path), hint=hint) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Invalid("it is a key of another kind than Ed25519", where=str(path), hint=hint)
    return key
