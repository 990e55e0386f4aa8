"""What a data folder says of the server that holds it: where it listens, and its token."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tidemill.core.errors import Invalid
from tidemill.core.json import parse_json


def served_url(data: Path) -> str | None:
    """The address in the data folder's `server.json`, if there is one."""
    try:
        found = parse_json((data / "server.json").read_bytes(), what="server.json")
    except (OSError, Invalid):
        return None
    url = found.get("url") if isinstance(found, Mapping) else None
    return url.rstrip("/") if isinstance(url, str) else None


def read_token(data: Path) -> str | None:
    """The admin token of a data folder, where this user may read it."""
    try:
        return (data / "token").read_text("ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
