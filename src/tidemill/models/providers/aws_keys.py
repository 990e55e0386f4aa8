"""Who asks at AWS: a key of Bedrock's own, or an access key with which requests are signed."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, cast
from urllib.parse import urlsplit

import orjson

from tidemill.core.chat import Connection
from tidemill.core.clock import Clock
from tidemill.core.errors import Denied
from tidemill.core.json import Json, JsonObject
from tidemill.models.connections import read_headers, read_secret
from tidemill.models.providers.aws_signature import AwsCredentials, sign
from tidemill.models.reading import text

OPTIONS: Final[Mapping[str, str]] = {
    "region": "The region, as in `us-east-1`; else that of base_url, else AWS_REGION.",
    "profile": "Which part of a file of credentials holds the key: `default` unless said otherwise.",
}
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")


def region_of(connection: Connection) -> str:
    """The region: of the options, of the host, of the environment, else `us-east-1`."""
    given = connection.options.get("region")
    if given:
        return given
    host = (urlsplit(connection.base_url or "").hostname or "").split(".")
    if len(host) > 3 and host[-2] == "amazonaws":
        return host[-3]
    return next((os.environ[name] for name in _REGIONS if os.environ.get(name)), "us-east-1")


def authorised(
    url: str, body: bytes, headers: Mapping[str, str], connection: Connection, *, service: str, clock: Clock
) -> tuple[dict[str, str], str]:
    """The headers with those that say who asks, and the secret that must not be shown. Raises `Denied` without a key."""
    given = {"content-type": "application/json", **headers, **read_headers(connection)}
    found = _credentials(connection)
    if isinstance(found, str):
        return {"authorization": f"Bearer {found}", **given}, found
    now = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC)
    region = region_of(connection)
    signed = sign(
        "POST", url, headers=given, body=body, credentials=found, region=region, service=service, now=now
    )  # fmt: skip
    return signed, found.secret_key


def _credentials(connection: Connection) -> AwsCredentials | str:
    if connection.api_key is not None:
        return _parsed(read_secret(connection.api_key, connection), connection)
    if connection.base_url is None or _is_aws(connection.base_url):
        if bearer := os.environ.get("AWS_BEARER_TOKEN_BEDROCK", "").strip():
            return bearer
        found = _made({name.lower(): value for name, value in os.environ.items() if name.startswith("AWS_")})
        if found is not None:
            return found
    raise _no_key(connection)


def _is_aws(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and (parts.hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))


def _parsed(secret: str, connection: Connection) -> AwsCredentials | str:
    """A key of Bedrock's own; or an access key, as JSON or as a file of credentials writes it."""
    found: AwsCredentials | None = None
    if secret.startswith("{"):
        try:
            value = cast("Json", orjson.loads(secret))
        except orjson.JSONDecodeError:
            raise _no_key(connection) from None
        found = _made(value if isinstance(value, Mapping) else {})
    elif secret.startswith(("[", "#", ";")) or "\n" in secret:
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(secret)
            found = _made(dict(parser[connection.options.get("profile") or "default"]))
        except (configparser.Error, KeyError):
            raise _no_key(connection) from None
    else:
        return secret
    if found is None:
        raise _no_key(connection)
    return found


def _made(fields: JsonObject) -> AwsCredentials | None:
    access, secret = text(fields, "aws_access_key_id"), text(fields, "aws_secret_access_key")
    if not access or not secret:
        return None
    return AwsCredentials(access_key=access, secret_key=secret, session_token=text(fields, "aws_session_token") or None)


def _no_key(connection: Connection) -> Denied:
    return Denied(
        "there is no key of AWS",
        where=f"connection/{connection.name}",
        hint="Write api_key: file:~/.aws/credentials, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        kind="auth",
    )
