"""Errors as `application/problem+json` (RFC 9457), mapped from the one table in `core/errors.py`."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from tidemill.api.current import current_id
from tidemill.api.error_pages import type_of
from tidemill.core.errors import (
    HTTP_STATUS,
    Invalid,
    MethodNotAllowed,
    NotFound,
    Problem,
    TidemillError,
    TooLarge,
    UnsupportedMedia,
)
from tidemill.core.json import dump_json
from tidemill.store import denials

_log = logging.getLogger(__name__)
_OF_STATUS: dict[int, type[TidemillError]] = {413: TooLarge, 415: UnsupportedMedia}


def problem_body(error: TidemillError) -> dict[str, object]:
    """The body: `code`, `title`, `detail`, `hint`, and where and what in particular, when known.

    `type` is where the code is explained, on this server; `instance` is the request's id.
    """
    body: dict[str, object] = {
        "type": type_of(error.code),
        "status": HTTP_STATUS[error.code],
        "code": error.code,
        "title": error.title,
        "detail": error.message,
        "hint": error.hint,
        "instance": current_id(),
    }
    if error.where:
        body["where"] = error.where
    if error.retry_after is not None:
        body["retry_after"] = error.retry_after
    if error.problems:
        body["problems"] = [{"message": each.message, "where": each.where, "hint": each.hint} for each in error.problems]
    return body


def problem_response(error: TidemillError) -> Response:
    """The error as a response; `Retry-After` when it says when, `WWW-Authenticate` when a token is missing."""
    headers = {"cache-control": "no-store"}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    if error.code == "unauthenticated":
        headers["www-authenticate"] = "Bearer"
    return Response(
        _dumped(problem_body(error)),
        status_code=HTTP_STATUS[error.code],
        media_type="application/problem+json",
        headers=headers,
    )


def _dumped(body: dict[str, object]) -> bytes:
    """As JSON, whatever text came in: half a surrogate pair is shown as a question mark."""
    try:
        return dump_json(body)
    except TypeError:
        return json.dumps(body).encode()


def install_problems(app: FastAPI) -> None:
    """Answer every error of the routes as a problem."""
    app.add_exception_handler(TidemillError, _own)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _own(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TidemillError)
    denials.refused(error)
    return problem_response(error)


async def _validation(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = _problems(error.errors())
    first = problems[0] if problems else Problem(message="the request is not valid")
    return problem_response(Invalid(first.message, where=first.where, hint=_TO_DO, problems=problems))


_TO_DO = "GET /openapi.json describes what each route takes."


def _problems(errors: Sequence[Any]) -> list[Problem]:
    return [Problem(message=str(each["msg"]).lower(), where=".".join(map(str, each["loc"]))) for each in errors]


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == HTTP_STATUS["not_found"]:
        return problem_response(NotFound(f"{request.method} {path} is not a route", hint="See GET /openapi.json."))
    if error.status_code == HTTP_STATUS["method_not_allowed"]:
        refused = MethodNotAllowed(f"{path} does not answer {request.method}", hint="It answers GET.")
        response = problem_response(refused)  # of pages; the routes of the document are held to their methods before
        response.headers["allow"] = "GET, HEAD"
        return response
    kind = _OF_STATUS.get(error.status_code, Invalid)
    return problem_response(kind(f"{request.method} {path}: {error.detail}", hint=_TO_DO))


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed (request %s)", request.method, request.url.path, current_id(), exc_info=error)
    return problem_response(
        TidemillError("the server met an error of its own", hint="Its log has the details; please report it.")
    )
