"""Checking the body of a document against a pydantic model, with one `Problem` a mistake."""

from __future__ import annotations

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
        problems = tuple(_problem(each, model) for each in error.errors(include_url=False))
        raise Invalid(
            f"{what}: {problems[0].message}", where=problems[0].where, hint=problems[0].hint, problems=problems
        ) from None


def _problem(error: ErrorDetails, model: type[BaseModel]) -> Problem:
    where = ".".join(map(str, error["loc"]))
    key = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        known = [each.alias or name for name, each in model.model_fields.items()] if len(error["loc"]) == 1 else []
        return Problem(message=f"unknown key {key!r}", where=where, hint=did_you_mean(key, known) if known else "")
    if error["type"] == "missing":
        return Problem(message=f"{key!r} is missing", where=where)
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return Problem(message=f"{key} is {_short(error['input'])}, but should be {message}" if key else message, where=where)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
