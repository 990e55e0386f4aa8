"""schemathesis over the whole document with all of its checks, against a real server over real HTTP, a test a tag.

The examples are few and always the same; `make thorough` draws many more. Where a check cannot hold by the nature of a route,
the route stands below with the reason; everything else is held to everything.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished

from api.described import document
from api.house import House

PREFIX = "/api/v1/projects/{project}"
FORM_IS_NOT_ALL: Final[Mapping[str, str]] = {
    "POST /plan": "specs are YAML inside of strings",
    "POST /apply": "specs are YAML inside of strings",
    "POST /diff": "two references or a time: either, by meaning",
    "POST /import": "an archive",
    "PUT /blobs/{digest}": "the body must have the digest that the path names",
    "POST /models:compare": "models or embedders: either, by meaning",
    "GET /models": "values of facets are those of the catalogue that is installed",
    "POST /monitor-runs": "a spec is a document; a window's times follow one another",
    "POST /releases:verify": "a lock is a file of its own form",
    "POST /feedback": "the value must fit its kind",
    "POST /feedback:batch": "the value must fit its kind",
    "POST /datasets/{name}/samples": "rows must have the columns of the dataset",
    "POST /datasets/{name}:from-traces": "a filter is a language of its own",
    "GET /traces": "a filter is a language of its own",
    "GET /traces:export": "a filter is a language of its own",
    "GET /sessions": "a filter is a language of its own; a time has many forms",
    "GET /trace-users": "a filter is a language of its own; a time has many forms",
    "POST /query": "a filter is a language of its own; measures have names",
    "POST /spans:search": "words or a filter: either, by meaning",
    "POST /spans:reprice": "times follow one another",
    "POST /traces:import": "a file of one of many formats",
    "POST /traces:erase": "a user, a session or a trace: one, by meaning",
    "POST /runs": "an application says itself which inputs it needs",
    "POST /lineage/openlineage": "events refer to one another",
    "GET /lineage": "a point of the graph has many forms",
    "GET /lineage/impact": "a point of the graph has many forms",
    "GET /lineage/path": "a point of the graph has many forms",
    "PATCH /artifacts/{kind}/{name}": "labels hold no control characters",
    "POST /pull": "what the files were is compared with what was applied",
    "POST /pull:written": "what the files were is compared with what was applied",
    "POST /access": "a grant names a role or rights: either, by meaning",
    "POST /api/v1/access": "a grant names a role or rights: either, by meaning",
    "POST /approvals": "whom an approval is for is asked of the policies, and a role of the approver",
    "DELETE /artifacts/{kind}/{name}": "only what has no versions stands in an environment",
    "POST /access:check": "what may be asked depends on the right",
    "POST /datasets/{name}/samples:erase": "samples are named by their ids",
    "POST /keys": "limits are written as in a document of kind limits",
    "PATCH /keys/{key_id}": "limits are written as in a document of kind limits",
    "POST /policies:check": "which doors a target has depends on its kind",
}
"""Routes where a request of the right form may still be wrong: `positive_data_acceptance` cannot know."""
STATE: Final = ["412", "422"]
"""Not a word on the form: a condition that does not hold (a random If-Match), a key that came with another request."""
NOT_TAKEN: Final = ["412", "413", "414", "431"]
"""What is refused for its size, or its condition, is refused."""
TAGS: Final = sorted({tag for item in document()["paths"].values() for each in item.values() for tag in each["tags"]})


def described(project: str, tag: str) -> dict[str, Any]:
    """The routes of a tag, within one project. A cursor is the server's own word: there is nothing to draw."""
    whole = copy.deepcopy(document())
    paths: dict[str, Any] = {}
    for path, item in whole["paths"].items():
        first = next(iter(item.values()))["tags"]
        kept = item if tag == first[0] else {}  # a path is one whole: another method's route is a method that it has
        for each in kept.values():
            unwanted = {("path", "project"), ("query", "cursor")}
            each["parameters"] = [one for one in each.get("parameters", ()) if (one["in"], one["name"]) not in unwanted]
        if kept:
            paths[path.replace("{project}", project)] = kept
    return {**whole, "paths": paths}


def config(house: House, *, examples: int, seed: int | None) -> SchemathesisConfig:
    positive = ["2xx", "3xx", "401", "403", "404", "409", "429", "5xx"]
    negative = ["400", "401", "403", "404", "405", "406", "409", "415", "422", "428", "429", "5xx"]
    return SchemathesisConfig.from_dict(
        {
            "headers": {"Authorization": f"Bearer {house.token}"},
            "seed": seed or 1,
            "generation": {"database": "none", "max-examples": examples, "no-shrink": True, "deterministic": seed is None},
            "phases": {"stateful": {"enabled": examples > 10}},
            "checks": {
                "positive_data_acceptance": {"expected-statuses": [*positive, *STATE]},
                "negative_data_rejection": {"expected-statuses": [*negative, *NOT_TAKEN]},
            },
        }
    )


def _is_by_meaning(project: str, check: str, case: schemathesis.Case) -> bool:
    """Whether a request was refused that only its form says is right; a whole route is never passed over by other checks."""
    route = f"{case.method} {case.operation.path.removeprefix(f'/api/v1/projects/{project}')}"
    return check == "positive_data_acceptance" and route in FORM_IS_NOT_ALL


def run(house: House, tag: str, *, examples: int, seed: int | None = None) -> None:
    project = house.project()
    project.apply()
    project.post("/endpoints/tide:deploy", {"app": "chain/tide"})
    schema = schemathesis.openapi.from_dict(described(project.name, tag), config=config(house, examples=examples, seed=seed))
    schema.config.update(base_url=house.url)
    problems: list[str] = []
    cases = 0
    for event in from_schema(schema).execute():
        if isinstance(event, ScenarioFinished):
            cases += len(event.recorder.cases)
            for case_id, checks in event.recorder.checks.items():
                for each in checks:
                    if each.failure_info is not None and not _is_by_meaning(
                        project.name, each.name, event.recorder.cases[case_id].value
                    ):
                        case = event.recorder.cases[case_id].value
                        answer = event.recorder.interactions[case_id].response
                        told = b"" if answer is None else (answer.content or b"")[:300]
                        asked = f"{case.method} {case.formatted_path} {case.query} {str(case.body)[:200]}"
                        problems.append(f"{each.name}: {asked} -> {each.failure_info.failure.message[:300]} {told!r}")
        elif isinstance(event, NonFatalError | FatalError):
            problems.append(repr(event))
    assert not problems, f"{len(problems)} of {cases}:\n" + "\n".join(sorted(set(problems))[:12])
    assert cases or not schema.raw_schema["paths"]


@pytest.mark.parametrize("tag", TAGS)
def test_the_document_holds(house: House, tag: str) -> None:
    run(house, tag, examples=3)


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize("tag", TAGS)
def test_the_document_holds_for_many_requests(house: House, tag: str) -> None:
    run(house, tag, examples=100, seed=20261121)


def test_every_exception_is_a_route() -> None:
    routes = {f"{method.upper()} {path.removeprefix(PREFIX)}" for path, item in document()["paths"].items() for method in item}
    assert routes >= FORM_IS_NOT_ALL.keys()
