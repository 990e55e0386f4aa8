"""`GET /openapi.json`: what FastAPI knows of the routes, and what is the same on all of them or known elsewhere.

Ids of operations are `noun_verb`, out of the address and method alone, so that they stay while functions are renamed. Answers
are described by the shapes of `tidemill.api.shapes`; errors, entity tags and keys for repetition by rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tidemill.api.entry import COOKIE
from tidemill.api.error_pages import error_text, type_of
from tidemill.api.forms import BODIES, OF_ROUTES, PATHS, QUERIES, WHOLE, add_form
from tidemill.api.routes import Known, Routes
from tidemill.api.shapes.registry import ProblemShape
from tidemill.api.shapes.table import ANSWERS, EVENTS, Answer
from tidemill.core.errors import HTTP_STATUS
from tidemill.version import __version__

_SCHEMAS: Final = "#/components/schemas/"
_PROBLEM: Final = "application/problem+json"
_OUTSIDE: Final = "/api/v1"
_CHANGES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_VERBS: Final = {"POST": "create", "PUT": "put", "PATCH": "change", "DELETE": "delete"}
_IDS: Final[Mapping[str, str]] = {
    "GET /sessions/{session}": "sessions_get",
    "POST /plan": "plan_make", "POST /apply": "plan_apply", "POST /comparisons": "evaluations_compare",
    "POST /runs": "runs_start", "POST /rollouts": "rollouts_start", "POST /evaluations": "evaluations_start",
    "POST /tunes": "tunes_start", "POST /monitor-runs": "monitor_runs_start", "POST /query": "spans_query",
}  # fmt: skip
_TAGS: Final[Mapping[str, str]] = {
    "artifacts": "Named things with immutable versions, and the aliases that point at them.",
    "projects": "Projects.",
    "transfer": "A project out and in, in open formats.",
    "plans": "Files in, changes out; and then made, all or nothing.",
    "blobs": "Content by digest, sent once.",
    "releases": "Applications locked under one digest.",
    "datasets": "Versioned rows.",
    "indexes": "Searchable sets of chunks.",
    "runs": "Ask an application once, whole or as a stream.",
    "evaluations": "A release on a dataset, scored; two of them compared; the gate that decides.",
    "endpoints": "Stable addresses, and the release behind each.",
    "rollouts": "A release takes a share of an endpoint's traffic.",
    "traces": "What ran, as it was recorded.",
    "feedback": "What users and reviewers said of it.",
    "jobs": "Long work: seen, followed, cancelled.",
    "keys": "Keys of the API.",
    "govern": "Approvals, policies, and the audit.",
    "environments": "Named sets of connections, and promotion from one to the next.",
    "lineage": "What came of what.",
    "access": "Projects, people, and what they may do.",
    "pipelines": "Work that runs by itself.",
    "monitors": "Looks at live traffic.",
    "alerts": "What monitors raised.",
    "models": "The project's models, and the catalogue.",
    "tunes": "Training.",
    "operate": "The database: how it stands, and its backup.",
    "evidence": "What is known of a release, for others to check.",
    "maturity": "How the project works.",
}  # fmt: skip
_ABOUT: Final = """The control plane of Tidemill. Lists answer `{"items", "next"}`; give `next` back as `cursor`. Errors are
`application/problem+json`, each code with a page at `/docs/errors/CODE`. Every change takes an `Idempotency-Key`; what can be
changed has an `ETag` and takes `If-Match`."""


def install_document(app: FastAPI, routes: Routes) -> None:
    """Let the application describe itself so."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = make_document(app, routes)
        return app.openapi_schema

    app.openapi = openapi


def make_document(app: FastAPI, routes: Routes) -> dict[str, Any]:
    """The whole document."""
    document = get_openapi(
        title="Tidemill",
        version=__version__,
        description=_ABOUT.replace("\n", " "),
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    known = {(method, each.documented_path): each for each in routes.known for method in each.methods}
    schemas = _shapes()
    components = document.setdefault("components", {})
    for name, fields in BODIES.items():
        for field, form in fields.items():
            add_form(components["schemas"][name]["properties"][field], form)
    for name, form in WHOLE.items():
        components["schemas"][name].update(form)
    doubled = schemas.keys() & components.setdefault("schemas", {}).keys()
    assert not doubled, f"an answer's shape is called as a request's body: {doubled}"
    components["schemas"].update(schemas)
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    components["securitySchemes"] = _SECURITY
    components["responses"] = _problem_responses()
    document["security"] = [{"bearer": []}, {"key": []}, {"cookie": []}]
    used: set[str] = set()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            found = known.get((method.upper(), path))
            if found is not None:
                _complete(operation, found, method.upper())
                used.update(operation.get("tags", ()))
    document["tags"] = [{"name": name, "description": _TAGS.get(name, "")} for name in sorted(used)]
    return document


def operation_id(method: str, path: str, *, is_list: bool) -> str:
    """`noun_verb` of an address below the project: `artifacts_versions_list`, `endpoints_deploy`, `keys_delete`."""
    named = _IDS.get(f"{method} {path}")
    if named is not None:
        return named
    outside, path = path.startswith(_OUTSIDE), path.removeprefix(_OUTSIDE)
    plain, _, verb = path.rpartition(":") if re.search(r":[a-z-]+$", path) else (path, "", "")
    segments = [each for each in plain.split("/") if each]
    noun = "_".join(each for each in segments if not each.startswith("{")) or "project"
    if outside:
        noun = f"server_{noun}"
    if not verb:
        verb = _VERBS.get(method) or ("list" if is_list else "get")
    return f"{noun}_{verb}".replace("-", "_").replace(".", "_")


def _complete(operation: dict[str, Any], known: Known, method: str) -> None:
    below = known.below
    answer = ANSWERS.get(f"{method} {below}")
    names = {each["name"] for each in operation.get("parameters", ())}
    is_list = (answer is not None and answer.many) or "cursor" in names
    operation["operationId"] = operation_id(method, below, is_list=is_list)
    responses: dict[str, Any] = operation["responses"]
    responses.pop("422", None)
    success = next(iter(responses))
    if answer is not None:
        for status in (success, *map(str, answer.statuses)):
            described = responses.get(status, responses[success]).get("description", "")
            responses[status] = {"description": described, **_content(answer)}
    responses[success]["headers"] = _headers(method)
    if method == "GET" and answer is not None and answer.media == EVENTS:
        responses["204"] = {"description": "It has ended, and the caller has seen it."}
    statuses = _statuses(method, known)
    if method == "GET":
        responses["304"] = {"description": "The caller has it already.", "headers": _headers(method)}
    for status in sorted(statuses):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    for each in operation.get("parameters", ()):
        own = OF_ROUTES.get(f"{method} {below}", {})
        form = own.get(each["name"]) or (PATHS if each["in"] == "path" else QUERIES).get(each["name"])
        if form is not None:
            add_form(each["schema"], form)
    operation.setdefault("parameters", []).extend(_parameters(method, known))


def _statuses(method: str, known: Known) -> set[int]:
    """The errors that a route can answer, by what it is."""
    found = {400, 401, 403, 404, 409, 414, 429, 431, 500, 501, 503}
    if method in _CHANGES:
        found |= {408, 413, 415, 422, 507}
    if known.takes_condition:
        found.add(412)
    return found


def _parameters(method: str, known: Known) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if method == "GET":
        found.append(_header("If-None-Match", "The `ETag` that the caller has; 304 when it still holds."))
    elif not known.streams:
        found.append(_header("Idempotency-Key", "A name of this request, kept for a day.", pattern="^[!-~]{1,255}$"))
    if known.takes_condition:
        found.append(_header("If-Match", "The `ETag` that must still hold; 412 when it does not."))
    return found


def _header(name: str, description: str, **form: str) -> dict[str, Any]:
    schema = {"type": "string", **form}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _headers(method: str) -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    found: dict[str, Any] = {"x-request-id": {"description": "The request's id.", **text}}
    if method == "GET":
        found["ETag"] = {"description": "The tag of this answer.", **text}
    return found


def _content(answer: Answer) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if answer.shape is not None or answer.many or answer.media is None:
        content["application/json"] = {"schema": _schema(answer)}
    for media in answer.medias:
        content[media] = {"schema": {}}
    if answer.media is not None:
        content[answer.media] = {"schema": {"type": "string"}} if answer.media == EVENTS else {"schema": {}}
    return {"content": content}


def _schema(answer: Answer) -> dict[str, Any]:
    shapes = [each for each in (answer.shape, *answer.other) if each is not None]
    refs = [{"$ref": _SCHEMAS + _name(each)} for each in shapes]
    schema: dict[str, Any] = {"type": "object"} if not refs else refs[0] if len(refs) == 1 else {"anyOf": refs}
    if not answer.many:
        return schema
    properties = {"items": {"type": "array", "items": schema}, "next": {"type": ["string", "null"]}, **answer.also}
    return {"type": "object", "required": list(properties), "properties": properties}


def _shapes() -> dict[str, Any]:
    """The schemas of all shapes by name."""
    from pydantic import TypeAdapter  # noqa: PLC0415  (made when the document is asked for)

    shapes = {each for answer in ANSWERS.values() for each in (answer.shape, *answer.other) if each is not None} | {
        ProblemShape
    }
    ordered = sorted(shapes, key=lambda each: each.__name__)
    inputs = [(each.__name__, "serialization", TypeAdapter(each)) for each in ordered]
    _, whole = TypeAdapter.json_schemas(cast("Any", inputs), ref_template=_SCHEMAS + "{model}")
    found: dict[str, Any] = whole.get("$defs", {})
    return {_renamed(name): _without_suffix(schema) for name, schema in found.items()}


def _without_suffix(value: Any) -> Any:
    """Schemas are called as what they describe: `Version`, not the name of the type in Python."""
    if isinstance(value, Mapping):
        found = {
            key: _without_suffix(each)
            for key, each in cast("Mapping[str, Any]", value).items()
            if key != "title" or not isinstance(each, str)
        }
        if isinstance(found.get("$ref"), str):
            found["$ref"] = _SCHEMAS + _renamed(found["$ref"].removeprefix(_SCHEMAS))
        return found
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_suffix(each) for each in cast("Sequence[Any]", value)]
    return value


def _name(shape: type[Any]) -> str:
    return _renamed(shape.__name__)


def _renamed(name: str) -> str:
    return name.removesuffix("Shape")


def _problem_responses() -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code, status in HTTP_STATUS.items():
        by_status.setdefault(status, []).append(code)
    problem = {"$ref": _SCHEMAS + "Problem"}
    return {
        str(status): {
            "description": " ".join(error_text(code)[0] for code in codes),
            "content": {_PROBLEM: {"schema": problem, "examples": {code: _example(code) for code in codes}}},
            "headers": {"x-request-id": {"schema": {"type": "string"}}},
        }
        for status, codes in sorted(by_status.items())
    }  # fmt: skip


def _example(code: str) -> dict[str, Any]:
    means, do = error_text(code)
    return {
        "value": {
            "type": type_of(code), "status": HTTP_STATUS[code], "code": code, "title": code.replace("_", " ").capitalize(),
            "detail": means, "hint": do, "instance": "0f6c1c8a9b7d4e52a3f0",
        }
    }  # fmt: skip


_SECURITY: Final[dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The admin token, or a key `tm_…`."},
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same, as some clients send it."},
    "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "A browser's login, from its own pages."},
}
