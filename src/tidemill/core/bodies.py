"""Checking the body of a document against a pydantic model, with one `Problem` a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import JsonObject
from tidemill.core.suggest import did_you_mean

M = TypeVar("M", bound=BaseModel)


def parse_body(model: type[M], body: JsonObject, *, what: str) -> M:
    """`body` as `model`. Raises `Invalid` with every mistake; a problem's `where` is its place, as in `steps.1.k`."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems = tuple(_problem(each, model) for each in found if not _follows(each, found))
        raise Invalid(
            f"{what}: {problems[0].message}", where=problems[0].where, hint=problems[0].hint, problems=problems
        ) from None


def _follows(error: ErrorDetails, found: Sequence[ErrorDetails]) -> bool:
    """Whether a list is only too short because of members that have problems of their own."""
    size = len(error["loc"])
    return error["type"] == "too_short" and any(each["loc"][:size] == error["loc"] != each["loc"] for each in found)


def _problem(error: ErrorDetails, model: type[BaseModel]) -> Problem:
    where = ".".join(map(str, error["loc"]))
    key = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        known = [each.alias or name for name, each in model.model_fields.items()] if len(error["loc"]) == 1 else []
        return Problem(message=f"unknown key {key!r}", where=where, hint=did_you_mean(key, known) if known else "")
    if error["type"] == "missing":
        return Problem(message=f"{key!r} is missing", where=where)
    if error["type"] == "value_error":
        return Problem(message=error["msg"].removeprefix("Value error, "), where=where)
    message = error["msg"].removeprefix("Input should be ")
    return Problem(message=f"{key} is {_short(error['input'])}, but should be {message}" if key else message, where=where)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
