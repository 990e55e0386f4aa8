"""Errors as `application/problem+json` (RFC 9457), mapped from the one table in `core/errors.py`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from tidemill.core.errors import HTTP_STATUS, Invalid, NotFound, Problem, TidemillError
from tidemill.core.json import dump_json

_log = logging.getLogger(__name__)


def problem_body(error: TidemillError) -> dict[str, object]:
    """The body: `code`, `title`, `detail`, `hint`, and where and what in particular, when known."""
    body: dict[str, object] = {
        "type": "about:blank",
        "status": HTTP_STATUS[error.code],
        "code": error.code,
        "title": error.title,
        "detail": error.message,
        "hint": error.hint,
    }
    if error.where:
        body["where"] = error.where
    if error.problems:
        body["problems"] = [{"message": each.message, "where": each.where, "hint": each.hint} for each in error.problems]
    return body


def problem_response(error: TidemillError) -> Response:
    """The error as a response; `Retry-After` when it says when."""
    headers = {} if error.retry_after is None else {"retry-after": str(max(1, round(error.retry_after)))}
    return Response(
        dump_json(problem_body(error)),
        status_code=HTTP_STATUS[error.code],
        media_type="application/problem+json",
        headers=headers,
    )


def install_problems(app: FastAPI) -> None:
    """Answer every error of the routes as a problem."""
    app.add_exception_handler(TidemillError, _own)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _own(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TidemillError)
    return problem_response(error)


async def _validation(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = _problems(error.errors())
    first = problems[0] if problems else Problem(message="the request is not valid")
    return problem_response(Invalid(first.message, where=first.where, problems=problems))


def _problems(errors: Sequence[Any]) -> list[Problem]:
    return [Problem(message=str(each["msg"]).lower(), where=".".join(map(str, each["loc"]))) for each in errors]


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTP_STATUS["not_found"]:
        return problem_response(NotFound(f"{request.method} {request.url.path} is not a route", hint="See GET /openapi.json."))
    invalid = Invalid(f"{request.method} {request.url.path}: {error.detail}", hint="See GET /openapi.json.")
    response = problem_response(invalid)
    response.status_code = error.status_code
    return response


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(
        TidemillError("the server met an error of its own", hint="Its log has the details; please report it.")
    )
