"""What a connection may say, and reading the secrets that it refers to at the moment of a call."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tidemill.core.chat import Connection, Secret
from tidemill.core.errors import Denied, Problem

_LIKE_ONE = re.compile(r"(?:^|[-_])(?:token|secret|password|api[-_]?key)$")
_CREDENTIALS = frozenset({"authorization", "x-api-key", "api-key", "cookie", "proxy-authorization", "x-goog-api-key"})


def url_problem(url: str) -> list[Problem]:
    """What is wrong with a base URL; empty when it can be used."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return [Problem(message=f"{url!r} is not a URL: {error}", where="base_url")]
    if parts.scheme not in {"http", "https"} or not host:
        hint = "Write it with http:// or https://, as in http://localhost:11434/v1."
        return [Problem(message=f"{url!r} is not an HTTP URL", where="base_url", hint=hint)]
    if parts.username or parts.password:
        return [Problem(message="base_url holds a user name or password", where="base_url", hint="Use api_key: env:NAME.")]
    if parts.query or parts.fragment:
        return [Problem(message="base_url ends before ? and #", where="base_url")]
    return []


def credential_problems(headers: Mapping[str, str]) -> list[Problem]:
    """Headers that hold a secret as text."""
    return [
        Problem(
            message=f"the header {name} holds a secret as text", where=f"headers.{name}", hint="Write env:NAME or file:PATH."
        )
        for name, value in headers.items()
        if (name.lower() in _CREDENTIALS or _LIKE_ONE.search(name.lower())) and not value.startswith(("env:", "file:"))
    ]


def read_secret(secret: Secret, connection: Connection) -> str:
    """The secret itself, read anew each time, so that it can be changed without a restart. Raises `Denied` without one."""
    scheme, _, name = secret.reference.partition(":")
    where = f"connection/{connection.name}"
    if scheme == "env":
        value = os.environ.get(name, "").strip()
        if not value:
            raise Denied(f"the environment variable {name}, which holds the key, is not set", where=where, hint=f"Set {name}.")
        return value
    try:
        value = Path(name).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Denied(f"the key's file {name} cannot be read: {error}", where=where, hint="Check the path.") from error
    if not value:
        raise Denied(f"the key's file {name} is empty", where=where)
    return value


def read_headers(connection: Connection) -> dict[str, str]:
    """The connection's own headers; a value of the form `env:NAME` or `file:PATH` is read from there."""
    return {
        name: read_secret(Secret(reference=value), connection) if value.startswith(("env:", "file:")) else value
        for name, value in connection.headers.items()
    }
