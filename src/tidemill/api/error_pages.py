"""What each error code means and what to do about it: the pages that a problem's `type` leads to, also without a network."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Final

from tidemill.core.errors import BY_CODE, EXIT_CODE, HTTP_STATUS

PREFIX: Final = "/docs/errors/"

_TEXT: Final[Mapping[str, tuple[str, str]]] = {
    "internal": (
        "The server met an error of its own. Nothing was half-written.",
        "The server's log has the details under the request's id, which `instance` names; please report it.",
    ),
    "invalid": (
        "Something in the request is wrong: `detail` says what, `where` where, `problems` lists all. Nothing was changed.",
        "Correct what is named and send it again; the same request would fail again.",
    ),
    "not_found": (
        "What was named does not exist in this project, or there is no such route.",
        "Check the name and the project; `hint` names what is alike. Lists show what exists.",
    ),
    "conflict": (
        "The state does not allow it now: somebody else was faster, something still depends on it, or it runs already.",
        "Read the state again and decide; with `Retry-After` wait so many seconds and send the same request again.",
    ),
    "precondition_failed": (
        "The request named, in `If-Match`, the state that it was made for, and the state is another now. Nothing was changed.",
        "Get the resource again, look at what changed, and send the request with the new `ETag`.",
    ),
    "key_reused": (
        "An `Idempotency-Key` names one request for a day, and this one came before with another method, address or body.",
        "Use a new key for each new request, and the same key only to repeat a request.",
    ),
    "too_large": (
        "The body, or what it unpacks to, is larger, deeper or has more parts than is taken. `detail` names the limit.",
        "Send less at once; large content goes up as blobs. Limits are set in `tidemill.toml` under `[limits]`.",
    ),
    "uri_too_long": ("The address with its query is longer than is taken.", "Shorten the query, or page through a list."),
    "headers_too_large": ("The headers are too long or too many.", "Send fewer headers; look for a cookie that has grown."),
    "unsupported_media": (
        "The body is of a type that the route does not read, or compressed in a way that is not known.",
        "Send `content-type: application/json`, and `content-encoding` gzip, zstd or none.",
    ),
    "method_not_allowed": (
        "The address exists, and does not answer this method.",
        "The header `Allow` lists the methods that it answers.",
    ),
    "body_timeout": (
        "The body of the request did not arrive in time. Nothing was changed.",
        "Send it again over a better line, or in smaller parts.",
    ),
    "denied": (
        "The caller is known and may not do this: the role, the project or a policy is against it. The attempt is audited.",
        "`hint` names who may. Ask for a key with that role, or for the approval that the policy asks for.",
    ),
    "unauthenticated": (
        "No token or key was sent, or one that is not known, expired or revoked.",
        "Send `Authorization: Bearer …` or `x-api-key`. The admin token is in the data folder's file `token`.",
    ),
    "unavailable": (
        "A part that is needed does not answer: a provider, a disk, a child process.",
        "Try again after the seconds in `Retry-After`; `tidemill doctor` looks at every part.",
    ),
    "rate_limited": ("A limit was reached.", "Wait for the seconds in `Retry-After`, then send the same request again."),
    "storage_full": (
        "The disk has no room left. What was acknowledged is kept; this request changed nothing.",
        "Make room and send it again.",
    ),
    "deadline_exceeded": (
        "The time that the request allowed was over before there was an answer.",
        "Allow more time, or ask a model that is quicker.",
    ),
    "overloaded": (
        "There is more to do than can be done, and this request was the least important, or waited too long for its turn.",
        "Wait for the seconds in `Retry-After`, then send the same request again.",
    ),
    "budget_exceeded": (
        "A budget is used up: `detail` says whose, and how much was used. Waiting does not help before its next period.",
        "Ask whoever sets the budget for more, or wait for the next period.",
    ),
    "missing_extra": (
        "The server was installed without the optional part that this needs.",
        "Type the command that `hint` gives, and restart the server.",
    ),
}

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title} · Tidemill</title>
<meta name="viewport" content="width=device-width"><style>body{{font:16px/1.6 system-ui,sans-serif;max-width:42rem;
margin:3rem auto;padding:0 1rem;color-scheme:light dark}}code{{font-size:.9em}}</style>
<p><a href="/docs/errors/">All errors</a><h1>{title}</h1>{body}</html>"""


def type_of(code: str) -> str:
    """The address of a code's page, on this same server."""
    return PREFIX + code


def error_text(code: str) -> tuple[str, str]:
    """What a code means, and what to do; for a code of an extension its class says it."""
    found = _TEXT.get(code)
    return found if found is not None else ((BY_CODE[code].__doc__ or "").strip(), "Do what `hint` says.")


def error_page(path: str) -> str | None:
    """The page at `/docs/errors/…` as HTML; None when there is no such code."""
    code = f"{path}/".removeprefix(PREFIX).rstrip("/")
    if not code:
        rows = (
            f'<tr><td><a href="{type_of(each)}">{each}</a><td>{HTTP_STATUS[each]}<td>{BY_CODE[each].title}' for each in BY_CODE
        )
        return _PAGE.format(title="Errors", body=f"<table>{''.join(rows)}</table>")
    if code not in BY_CODE:
        return None
    means, do = map(_marked, error_text(code))
    facts = f"<p>Code <code>{code}</code> · HTTP {HTTP_STATUS[code]} · exit code {EXIT_CODE[code]} of the command line"
    return _PAGE.format(title=BY_CODE[code].title, body=f"{facts}<p>{means}<h2>What to do</h2><p>{do}")


def errors_markdown() -> str:
    """All of them as one page of the documentation, `docs/reference/errors.md`."""
    lines = [
        "# Errors",
        "",
        "An error of the control plane is `application/problem+json` (RFC 9457). `code` is stable; `type` is the address of",
        "the code's page on the same server, to be read without a network; `instance` is the request's id, which the answer",
        "has as `x-request-id` and the server's log names. The texts are those of `tidemill.api.error_pages`; a test compares.",
        "",
    ]
    for code, kind in BY_CODE.items():
        means, do = error_text(code)
        lines += [
            f"## `{code}`",
            "",
            f"{kind.title}. HTTP {HTTP_STATUS[code]}, exit code {EXIT_CODE[code]}.",
            "",
            means,
            "",
            do,
            "",
        ]
    return "\n".join(lines)


def _marked(text: str) -> str:
    pieces = html.escape(text).split("`")
    return "".join(f"<code>{each}</code>" if place % 2 else each for place, each in enumerate(pieces))
