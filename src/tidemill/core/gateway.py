"""How many calls of models one server takes on, and where limits are counted; `[gateway]` in `tidemill.toml`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

from tidemill.core.database_url import has_password
from tidemill.core.durations import parse_duration
from tidemill.core.errors import Invalid
from tidemill.core.suggest import did_you_mean

_KNOWN: Final = ("max_calls", "max_waiting", "max_wait", "counters", "without_counters")
_MOST: Final = 1_000_000
_SCHEMES: Final = ("valkey://", "valkeys://", "redis://", "rediss://", "unix://")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gateway:
    """Bounds of one server process. A call beyond `max_calls` waits; beyond `max_waiting` the least important is shed."""

    max_calls: int = 1000
    """Calls of models under way at once."""
    max_waiting: int = 1000
    """Calls that wait for their turn."""
    max_wait: float = 10.0
    """Seconds that a call waits at most."""
    counters: str | None = None
    """Where limits are counted, when several processes share them: `valkey://HOST:6379/0`, `env:NAME` or `file:PATH`."""
    without_counters: Literal["open", "closed"] = "open"
    """What holds while that server is away: each process counts by itself (open), or nothing is let through (closed)."""


_DEFAULT: Final = Gateway()


def read_gateway(given: object, *, counters: str | None = None, where: str = "") -> Gateway:
    """The table `[gateway]`; `counters` (from the environment) takes the place of its own. Raises `Invalid`."""
    if given is not None and not isinstance(given, Mapping):
        raise Invalid("gateway is not a table", where=where, hint="Write [gateway] and a line such as max_calls = 200.")
    table = cast("Mapping[str, object]", given or {})
    for key in table:
        if key not in _KNOWN:
            raise Invalid(f"unknown key {key!r} of [gateway]", where=where, hint=did_you_mean(key, _KNOWN))
    policy = table.get("without_counters", "open")
    if policy not in ("open", "closed"):
        raise Invalid(f"gateway.without_counters is {policy!r}", where=where, hint="Write open or closed.")
    written = table.get("counters")
    if isinstance(written, str) and has_password(written):
        raise Invalid(
            "gateway.counters carries a password, and this file is one that is shared",
            where=where,
            hint='Keep it outside: counters = "env:VARIABLE".',
        )
    return Gateway(
        max_calls=_whole(table, "max_calls", _DEFAULT.max_calls, where),
        max_waiting=_whole(table, "max_waiting", _DEFAULT.max_waiting, where),
        max_wait=parse_duration(table.get("max_wait", _DEFAULT.max_wait), what="gateway.max_wait"),
        counters=counters or (None if written is None else str(written)),
        without_counters="open" if policy == "open" else "closed",
    )


def _whole(table: Mapping[str, object], key: str, default: int, where: str) -> int:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        raise Invalid(f"gateway.{key} is {value!r}", where=where, hint=f"Write a whole number from 1 to {_MOST:,}.")
    return value


def counters_url(written: str, environ: Mapping[str, str] | None = None) -> str:
    """The address that is written, or that the variable or file holds that is named. Raises `Invalid`, and never shows it."""
    env = os.environ if environ is None else environ
    kind, _, name = written.partition(":")
    if kind == "env":
        written = env.get(name, "")
    elif kind == "file" and not name.startswith("//"):
        try:
            written = Path(name).expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"the address of the counters cannot be read: {type(error).__name__}", where=name) from error
    if not written.startswith(_SCHEMES):
        hint = "Write valkey://HOST:6379/0 (valkeys:// with TLS), env:VARIABLE or file:PATH."
        raise Invalid("that is not the address of a Valkey server", where="gateway.counters", hint=hint)
    return written
