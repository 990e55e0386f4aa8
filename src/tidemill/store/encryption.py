"""Bytes that nobody reads or changes without their key. Where keys come from is in `project_keys.py`."""

from __future__ import annotations

import secrets
from typing import Final

from tidemill.core.errors import Unavailable

_NONCE: Final = 12


def encrypt(content: bytes, key: bytes, *, about: str) -> bytes:
    """AES-256-GCM: the nonce, then the content and its tag; `about` must be said again to decrypt."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  (heavy)

    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, content, about.encode())


def decrypt(content: bytes, key: bytes, *, about: str) -> bytes:
    """What `encrypt` was given. Raises `Unavailable` when a bit of it, the key or `about` is another."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415  (heavy)
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  (heavy)

    try:
        return AESGCM(key).decrypt(content[:_NONCE], content[_NONCE:], about.encode())
    except (InvalidTag, ValueError) as error:
        raise Unavailable("what was encrypted is damaged, or was encrypted under another key") from error
