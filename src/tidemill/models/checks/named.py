"""`guardrails:` of a document: which ones stand on the way of what it describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref

KEY: Final = "guardrails"
_MOST: Final = 32


def read_guardrails(value: Json, references: dict[str, str], problems: list[Problem]) -> list[str]:
    """The references in full, noted by their place; what is wrong is added to the problems."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > _MOST:
        hint = f"Write guardrails: [guardrail/NAME], at most {_MOST}."
        problems.append(Problem(message="guardrails are not a list of references", where=KEY, hint=hint))
        return []
    found: list[str] = []
    for index, each in enumerate(value):
        where = f"{KEY}.{index}"
        try:
            if not isinstance(each, str):
                raise Invalid(f"a guardrail is a reference, not {each!r}", hint="Write guardrail/NAME.")
            references[where] = str(parse_ref(each, kind="guardrail"))
            found.append(references[where])
        except Invalid as error:
            problems.append(Problem(message=error.message, where=where, hint=error.hint))
    return found


def unfit_guardrails(spec: JsonObject, resolved: Mapping[str, Version]) -> list[Problem]:
    """Those that read what a call of a model does not show."""
    problems: list[Problem] = []
    for index, each in enumerate(cast("Sequence[str]", spec.get(KEY, ()))):
        version = resolved.get(each)
        if version is not None and version.spec.get("on") == "context":
            hint = "Name it in a chain's retrieve step; here on is input, output or tool."
            message = f"{each} reads retrieved text, which is not told apart here"
            problems.append(Problem(message=message, where=f"{KEY}.{index}", hint=hint))
    return problems
