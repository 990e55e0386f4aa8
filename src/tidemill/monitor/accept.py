"""Proposals as rows of a dataset, each with the trace that it comes from. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.data.specs import RolesSpec
from tidemill.monitor.texts import text_of
from tidemill.store.monitors import Proposal


def rows_of(
    proposals: Sequence[Proposal], dataset: Version | None, *, answers: Mapping[str, str]
) -> tuple[list[Mapping[str, object]], RolesSpec]:
    """A row for each proposal, by the columns of the dataset's roles, and the roles for a dataset that is new.

    `answers` are the right ones by trace, as people corrected them. Where nobody did, the reference stays empty.
    """
    if dataset is None:
        roles = RolesSpec(input="input", reference="reference") if answers else RolesSpec(input="input")
        return [_row(each, roles, answers) for each in proposals], roles
    known = cast("Mapping[str, Json]", dataset.spec["roles"])
    roles = RolesSpec.model_validate({name: list(each) if isinstance(each, tuple) else each for name, each in known.items()})
    return [_row(each, roles, answers) for each in proposals], RolesSpec()


def _row(proposal: Proposal, roles: RolesSpec, answers: Mapping[str, str]) -> Mapping[str, object]:
    row: dict[str, object] = {"trace": proposal.trace_id, "traces": [proposal.trace_id]}
    if roles.id is not None:
        row[roles.id] = f"trace-{proposal.trace_id}"
    if isinstance(roles.reference, str) and proposal.trace_id in answers:
        row[roles.reference] = answers[proposal.trace_id]
    if proposal.topic:
        row["topic"] = proposal.topic
    given: JsonObject = proposal.input if isinstance(proposal.input, Mapping) else {}
    for name in [roles.input] if isinstance(roles.input, str) else roles.input or ():
        value = given.get(name)
        row[name] = value if value is not None else text_of(proposal.input)
    return row
