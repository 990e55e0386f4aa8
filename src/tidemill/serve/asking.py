"""Who asks, and how, from a request's headers: made once at the door, and handed down to every call of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from tidemill.core.chat import Dialect
from tidemill.core.durations import parse_duration
from tidemill.core.errors import Invalid
from tidemill.core.json import JsonObject
from tidemill.models.caller import CacheControl, Caller
from tidemill.models.calls import RawRequest
from tidemill.serve.chat_request import ChatCall
from tidemill.serve.exchange import Headers
from tidemill.store.access import Principal

TIMEOUT: Final = "x-tidemill-timeout"
PRIORITY: Final = "x-tidemill-priority"
CACHE: Final = "x-tidemill-cache-control"
EXTENDED: Final = "x-tidemill-extended"
"""With it, an answer is written by us, with what we add to it, also where the provider's own could be passed on."""

_AS_THE_POLICY_SAYS: Final = CacheControl()
_NOTHING: Final[Mapping[str, str]] = {}
_SECRET: Final = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-goog-api-key", "x-tidemill-key"}
)
_LEAST: Final = -100
_PASSED_ON: Final[Mapping[str, tuple[str, ...]]] = {
    "openai": ("openai-beta", "idempotency-key", "x-client-request-id"),
    "anthropic": ("anthropic-beta", "anthropic-version"),
}
"""Headers of a client that belong to a dialect, by the first word of its name."""


def caller_of(
    headers: Headers,
    *,
    principal: Principal,
    project: str,
    environment: str,
    endpoint: str | None,
    user: str | None,
    now: float,
) -> Caller:
    """For whom a request is answered. `now` is in monotonic seconds. Raises `Invalid`, naming the header that is wrong."""
    return Caller(
        project=project,
        environment=environment,
        key=principal.key_id if principal.is_key else None,
        user=headers.get("x-tidemill-user") or user,
        team=principal.team,
        session=headers.get("x-tidemill-session"),
        endpoint=endpoint,
        tags=_tags(headers["x-tidemill-tags"]) if "x-tidemill-tags" in headers else _NOTHING,
        priority=_priority(headers[PRIORITY]) if PRIORITY in headers else 0,
        deadline=now + _timeout(headers[TIMEOUT]) if TIMEOUT in headers else None,
        cache=_cache(headers[CACHE]) if CACHE in headers else _AS_THE_POLICY_SAYS,
        headers={name: value for name, value in headers.items() if name not in _SECRET},
    )


def _tags(text: str) -> Mapping[str, str]:
    """`a,b=c` as {"a": "", "b": "c"}."""
    found: dict[str, str] = {}
    for each in text.split(","):
        name, _, value = each.strip().partition("=")
        if name:
            found[name.strip()] = value.strip()
    return found


def _timeout(text: str) -> float:
    """Seconds: a number, or a length of time such as `800ms` or `30s`."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = parse_duration(text, what=TIMEOUT)
    if not math.isfinite(seconds) or seconds <= 0:
        raise Invalid(f"{TIMEOUT} is {text[:40]!r}, but should be above 0", where=TIMEOUT, hint="Send seconds, or 800ms, 30s.")
    return seconds


def _priority(text: str) -> int:
    """A caller may stand back, but not push forward: what is above 0 is 0."""
    try:
        return max(_LEAST, min(0, int(text)))
    except ValueError:
        hint = "Send 0, or less for what may wait."
        raise Invalid(f"{PRIORITY} is {text[:40]!r}, but should be a whole number", where=PRIORITY, hint=hint) from None


def _cache(text: str) -> CacheControl:
    """`no-cache`, `no-store`, `off` (both), `only-if-cached`, `max-age=60`, `ttl=60`, `semantic=off`, `namespace=…`."""
    words = {name: value for name, _, value in (each.strip().partition("=") for each in text.split(",")) if name}
    off = "off" in words
    return CacheControl(
        read=not (off or "no-cache" in words),
        write=not (off or "no-store" in words),
        only="only-if-cached" in words,
        max_age=_seconds(words, "max-age"),
        ttl=_seconds(words, "ttl"),
        semantic={"on": True, "off": False}.get(words.get("semantic", "")),
        namespace=words.get("namespace", "")[:64],
    )


def _seconds(words: Mapping[str, str], name: str) -> float | None:
    if name not in words:
        return None
    try:
        return float(words[name]) if words[name].replace(".", "", 1).isdigit() else parse_duration(words[name], what=name)
    except Invalid as error:
        raise Invalid(f"{CACHE}: {error.message}", where=CACHE, hint=f"Write {name}=60.") from error


def raw_request(dialect: Dialect, content: bytes, body: JsonObject, *, headers: Headers, call: ChatCall) -> RawRequest:
    """The request as it was written, for a provider of the same dialect."""
    passed = _PASSED_ON.get(dialect.partition(".")[0], ())
    return RawRequest(
        dialect=dialect,
        body=content,
        fields=body,
        headers={name: headers[name] for name in passed if name in headers},
        stream=call.stream,
        counts=call.include_usage,
    )
