"""`kind: environment`: the rules of an environment, outside every digest.

What must hold of a release before it gets there is a policy's to say: `protects: ["chain/*@production"]`. The environment says
where the release must come from, and whether its aliases may be moved by an operator alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from tidemill.core.bodies import parse_body
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Files
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Parsed, Version
from tidemill.core.refs import check_name


class _EnvironmentBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    origin: str | None = Field(None, alias="from")
    protected: bool = False


class EnvironmentKind:
    """`from`: the environment in which a release must have been; `protected`: an operator's to promote into."""

    name = "environment"
    versioned = False

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:  # noqa: ARG002  (the Protocol's argument)
        """Check the body. Its spec has `protected`, and `from` when it is given."""
        given = parse_body(_EnvironmentBody, body, what="the environment is not valid")
        spec: dict[str, Json] = {"protected": given.protected}
        if given.origin is not None:
            try:
                spec["from"] = check_name(given.origin, what="environment")
            except Invalid as error:
                raise Invalid(error.message, where="from", hint=error.hint) from error
        return Parsed(spec=spec)

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:  # noqa: ARG002  (the Protocol's)
        """An environment references nothing."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """A line for each rule that changed."""
        return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in ("from", "protected") if old.get(key) != new.get(key)]
