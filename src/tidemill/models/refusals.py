"""What a provider's refusal means: one mapping from an HTTP status and its body to our errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import orjson

from tidemill.core.errors import Denied, FailureKind, Invalid, RateLimited, TidemillError, Unavailable
from tidemill.core.json import Json

_TOO_LONG = re.compile(
    r"context.?(length|size|window)|prompt is too long|too many (input )?tokens|maximum (context|input)|input (is )?too long",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content.?(filter|policy|management)|responsible.?ai|safety (system|filter|setting)|blocked by", re.IGNORECASE
)
_NO_KEY = re.compile(r"API_KEY_INVALID|api.?key not valid", re.IGNORECASE)
_DELAY = re.compile(r'"retryDelay":\s*"(\d+(?:\.\d+)?)s"')
_OVERLOADED = frozenset({503, 529})
_SLOW = frozenset({408, 504, 524})
_SHORT = 300


def refusal(
    status: int, body: str, *, provider: str, connection: str, retry_after: float | None = None, html: bool = False
) -> TidemillError:
    """The error for an answer with `status` that is not a success; `body` is what the provider said, shortened here."""
    where = f"connection/{connection}"
    said = shortened(body, html=html)
    message = f"{provider} answered {status}" + (f": {said}" if said else "")
    if status in {401, 403} or (status == 400 and _NO_KEY.search(body)):
        hint = f"Check api_key of {where}: the variable or file that it names must hold a key that may do this."
        return Denied(message, where=where, hint=hint, kind="auth")
    if status == 429:
        if retry_after is None and (delay := _DELAY.search(body)):
            retry_after = float(delay[1])
        return RateLimited(message, where=where, retry_after=retry_after, hint=_wait(retry_after), kind="rate_limited")
    if status in {408, 409, 425} or status >= 500:
        hint = "The failure is the provider's; try again later."
        return Unavailable(message, where=where, retry_after=retry_after, hint=hint, kind=_kind(status))
    if status < 400:
        hint = f"Redirects are not followed. Check base_url of {where}."
        return Unavailable(message, where=where, hint=hint, kind="server")
    if status == 413 or _TOO_LONG.search(body):
        hint = "Shorten the prompt, retrieve fewer passages, or choose a model with a longer context."
        message = f"the prompt is longer than the model's context: {message}"
        return Invalid(message, where=where, hint=hint, kind="context_length")
    if _FILTERED.search(body):
        hint = "The provider's own filter refused what was sent. Change it, or ask another model."
        return Invalid(message, where=where, hint=hint, kind="content_filter")
    if status in {404, 405}:
        return Invalid(message, where=where, hint=f"Check the model's name and base_url of {where}.", kind="invalid")
    return Invalid(message, where=where, hint="The provider refused the request as it was written.", kind="invalid")


def _kind(status: int) -> FailureKind:
    if status in _OVERLOADED:
        return "overloaded"
    return "timeout" if status in _SLOW else "server"


def _wait(retry_after: float | None) -> str:
    return "Ask less often, or later." if retry_after is None else f"Try again in {retry_after:g} s."


def shortened(body: str, *, html: bool = False) -> str:
    """The message of an error body, or its beginning, on one line."""
    if html:
        title = re.search(r"<title[^>]*>(.*?)</title", body, re.IGNORECASE | re.DOTALL)
        text = f"a web page{f' titled {title[1].strip()!r}' if title else ''}, not JSON"
    else:
        text = _message(body) or body
    text = " ".join(text.split())
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def _message(body: str) -> str | None:
    """The words in `{"error": {"message"}}`, `{"error": "…"}`, `{"message"}` or `{"detail"}`."""
    try:
        value = cast("Json", orjson.loads(body))
    except orjson.JSONDecodeError:
        return None
    for key in ("error", "message", "detail"):
        if not isinstance(value, Mapping):
            break
        found = value.get(key)
        if isinstance(found, str):
            return found
        value = found if isinstance(found, Mapping) else value
    return None
