"""AWS Signature Version 4: a request signed so that AWS knows who sent it, and that nothing of it was changed.

https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html; `tests/models` has AWS's published test suite.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, unquote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = "-_.~"


@dataclass(frozen=True, kw_only=True, slots=True)
class AwsCredentials:
    """An access key and its secret; `session_token` comes with temporary ones."""

    access_key: str
    secret_key: str
    session_token: str | None = None


def sign(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    credentials: AwsCredentials,
    region: str,
    service: str,
    now: datetime,
) -> dict[str, str]:
    """`headers` with those that sign the request: `host`, `x-amz-date`, `authorization`, and the token's. `now` is in UTC.

    The URL is signed as it is written: what must be escaped in its path is escaped already, once.
    """
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    signed = {name.lower(): value for name, value in headers.items()}
    signed.setdefault("host", urlsplit(url).netloc)
    signed["x-amz-date"] = stamp
    if credentials.session_token:
        signed["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(signed))
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    canonical = canonical_request(method, url, headers=signed, body=body)
    text = "\n".join((_ALGORITHM, stamp, scope, _digest(canonical.encode())))
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = _mac(key, part)
    signature = _mac(key, text).hex()
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return signed


def canonical_request(method: str, url: str, *, headers: Mapping[str, str], body: bytes) -> str:
    """The one text of a request that both sides sign. `headers` (names in lower case) are those that are signed."""
    parts = urlsplit(url)
    # Every service but S3 has each segment escaped a second time.
    path = quote(_normal(parts.path), safe=f"/{_UNRESERVED}")
    pairs = sorted(
        (quote(unquote(name), safe=_UNRESERVED), quote(unquote(value), safe=_UNRESERVED))
        for name, _, value in (each.partition("=") for each in parts.query.split("&") if each)
    )
    query = "&".join(f"{name}={value}" for name, value in pairs)
    lines = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in sorted(headers.items()))
    return "\n".join((method, path, query, lines, ";".join(sorted(headers)), _digest(body)))


def _normal(path: str) -> str:
    """The path without `.`, `..` and doubled slashes (RFC 3986)."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept = kept[:-1]
        elif segment not in {"", "."}:
            kept.append(segment)
    ends = "/" if kept and path.endswith(("/", "/.", "/..")) else ""
    return "/" + "/".join(kept) + ends


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
