"""A server's error answers, as the errors that they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import httpx

from tidemill.core.errors import HTTP_STATUS, Invalid, Problem, TidemillError, Unavailable, error_from_code
from tidemill.core.json import Json, parse_json

_CODE_OF_STATUS = {status: code for code, status in HTTP_STATUS.items()} | {
    405: "invalid",
    413: "invalid",
    415: "invalid",
    422: "invalid",
}


async def raise_for_problem(response: httpx.Response) -> None:
    """Raise what an answer of 4xx or 5xx says; do nothing for any other."""
    if response.is_success:
        return
    body = await response.aread()
    raise error_of(response.status_code, body)


def error_of(status: int, body: bytes) -> TidemillError:
    """The error in a problem document; for any other body, one that says what answered instead."""
    fallback = _CODE_OF_STATUS.get(status, "invalid" if 400 <= status < 500 else "unavailable")
    try:
        problem = parse_json(body, what="the answer")
    except Invalid:
        problem = None
    if not isinstance(problem, Mapping):
        start = " ".join(body[:80].decode("utf-8", "replace").split())
        return Unavailable(
            f"the server answered {status} and no problem document: {start!r}", hint="Is this a Tidemill server?"
        )
    said = problem.get("error")  # as the data plane says it
    if isinstance(said, Mapping):
        problem = {"detail": said.get("message"), "where": said.get("param")}
    return problem_error(problem, fallback=fallback)


def problem_error(problem: Mapping[str, Json], *, fallback: str = "internal") -> TidemillError:
    """The error in a parsed problem document."""
    message = _text(problem, "detail") or _text(problem, "title") or "the server did not say what failed"
    made = error_from_code(
        _text(problem, "code") or fallback,
        message,
        hint=_text(problem, "hint"),
        where=_text(problem, "where"),
        problems=tuple(_problems(problem.get("problems"))),
    )
    retry_after = problem.get("retry_after")
    made.retry_after = float(retry_after) if isinstance(retry_after, int | float) else None
    return made


def _problems(value: Json) -> Sequence[Problem]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    return [
        Problem(message=_text(each, "message"), where=_text(each, "where"), hint=_text(each, "hint"))
        for each in value
        if isinstance(each, Mapping)
    ]


def _text(value: Mapping[str, Json], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""
