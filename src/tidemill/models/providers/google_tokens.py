"""Access tokens of Google Cloud, got with a service account's key.

The key signs a claim (RFC 7523), for which Google gives a token that holds for an hour.
https://developers.google.com/identity/protocols/oauth2/service-account
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlencode

import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tidemill.core.chat import Connection, Secret
from tidemill.core.clock import Clock
from tidemill.core.errors import Denied, Invalid, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.models.connections import read_secret
from tidemill.models.reading import number, text
from tidemill.models.wire import Wire

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_ISSUER: Final = "https://oauth2.googleapis.com/token"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_EARLY: Final = 120.0
_HOUR: Final = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class _Token:
    value: str
    until: float


class GoogleTokens:
    """The tokens of one provider. A token is used again until two minutes before its end."""

    def __init__(self, wire: Wire, *, clock: Clock) -> None:
        self._wire = wire
        self._clock = clock
        self._tokens: dict[str, _Token] = {}

    async def read(self, connection: Connection) -> str:
        """A token for this connection. Its `api_key` refers to a key in JSON, or to a token that somebody else renews.

        Without `api_key` and `base_url` the key is in the file that GOOGLE_APPLICATION_CREDENTIALS names. Raises `Denied`
        without a key, and for one that Google does not take.
        """
        secret = read_secret(_reference(connection), connection)
        key = _parsed(secret)
        if key is None:
            return secret
        now = self._clock.now_ns() / 1e9
        token = self._tokens.get(secret)
        if token is None or token.until - _EARLY < now:
            token = await self._get(key, connection, now=now)
            self._tokens = {each: kept for each, kept in self._tokens.items() if kept.until > now} | {secret: token}
        return token.value

    async def _get(self, key: JsonObject, connection: Connection, *, now: float) -> _Token:
        url = text(key, "token_uri") or _ISSUER
        headers = {"content-type": "application/x-www-form-urlencoded"}
        body = urlencode(_form(key, connection, url=url, now=int(now))).encode()
        answer = await self._wire.ask(url, body, headers=headers, connection=connection, secret=text(key, "private_key"))
        value = text(answer, "access_token")
        if not value:
            raise Unavailable("google gave no token for the key", where=f"connection/{connection.name}", kind="auth")
        return _Token(value=value, until=now + (number(answer, "expires_in") or _HOUR))


def project_of(connection: Connection) -> str:
    """The project that a service account's key belongs to; empty where it is not a key."""
    return text(_parsed(read_secret(_reference(connection), connection)) or {}, "project_id")


def _reference(connection: Connection) -> Secret:
    if connection.api_key is not None:
        return connection.api_key
    file = os.environ.get(_FILE, "") if connection.base_url is None else ""
    if file:
        return Secret(reference=f"file:{file}")
    raise Denied(
        "there is no key of Google Cloud",
        where=f"connection/{connection.name}",
        hint=f"Write api_key: file:KEY.json (a service account's key), or set {_FILE}.",
        kind="auth",
    )


def _parsed(secret: str) -> JsonObject | None:
    if not secret.startswith("{"):
        return None
    try:
        value = cast("Json", orjson.loads(secret))
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, Mapping) else None


def _form(key: JsonObject, connection: Connection, *, url: str, now: int) -> dict[str, str]:
    if key.get("type") == "authorized_user":
        names = ("client_id", "client_secret", "refresh_token")
        return {"grant_type": "refresh_token", **{name: text(key, name) for name in names}}
    return {"grant_type": _GRANT, "assertion": _assertion(key, connection, url=url, now=now)}


def _assertion(key: JsonObject, connection: Connection, *, url: str, now: int) -> str:
    """The signed claim: a JSON Web Token, RS256."""
    where = f"connection/{connection.name}"
    try:
        private = serialization.load_pem_private_key(text(key, "private_key").encode(), password=None)
    except (ValueError, TypeError) as error:
        raise Invalid("the service account's key cannot be read", where=where, hint="Download it anew.", kind="auth") from error
    if not isinstance(private, rsa.RSAPrivateKey):
        raise Invalid("the service account's key is not an RSA key", where=where, hint="Download it anew.", kind="auth")
    head = {"alg": "RS256", "typ": "JWT", "kid": text(key, "private_key_id")}
    claim = {"iss": text(key, "client_email"), "scope": _SCOPE, "aud": url, "iat": now, "exp": now + _HOUR}
    signed = b".".join(_base64(orjson.dumps(each)) for each in (head, claim))
    signature = private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return b".".join((signed, _base64(signature))).decode()


def _base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
