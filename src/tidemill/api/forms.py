"""The form of texts that routes take, for the document: patterns by the name of a parameter or field.

The routes check for themselves, with words that say what to do; these tell the same to those who read the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_NAME: Final = "[a-z0-9][a-z0-9._-]{0,127}"
_DIGEST: Final = "sha256:[0-9a-f]{64}"
_VERSION: Final = f"(v[1-9][0-9]{{0,8}}|[a-z][a-z0-9._-]{{0,60}}|{_DIGEST})"
_REF: Final = f"[a-z]+/{_NAME}(@{_VERSION})?"


def _pattern(pattern: str, example: str) -> dict[str, Any]:
    return {"pattern": f"^{pattern}$", "examples": [example]}


def _of(kind: str) -> dict[str, Any]:
    return _pattern(f"({kind}/)?{_NAME}(@{_VERSION})?", f"{kind}/handbook")


_TIMES: Final = [{"type": "string", "format": "date-time"}, {"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,6})?$"}]
_TIME: Final[dict[str, Any]] = {"anyOf": _TIMES, "description": "A time in ISO 8601, or seconds since 1970."}
_SINCE: Final[dict[str, Any]] = {
    "anyOf": [*_TIMES, {"type": "string", "pattern": "^[1-9][0-9]{0,3}[smhd]$"}],
    "description": "A time in ISO 8601, seconds since 1970, or so long ago, as in 24h.",
}
_LENGTH: Final = _pattern("([1-9][0-9]{0,3}[smh]|([1-9][0-9]{0,2}|[12][0-9]{3}|3[0-5][0-9]{2})d)", "30d")
_TRACE: Final = _pattern("[0-9a-f]{8,32}", "0f6c1c8a9b7d4e52a3f01c8a9b7d4e52")
_EMAIL: Final = _pattern(r"([^\s@<>]{1,64}@[^\s@<>]{1,189})?", "ana@example.org")
_APP: Final = _pattern(
    f"((chain|agent|prompt|model|function|endpoint|release)/{_NAME}(@{_VERSION})?|{_DIGEST})", "chain/handbook"
)
_MOVED_ALIAS: Final[dict[str, Any]] = {**_pattern(_NAME, "production"), "not": {"const": "latest"}}
_ID: Final = {"minLength": 1, "maxLength": 200}

PATHS: Final[Mapping[str, dict[str, Any]]] = {
    "project": _pattern(_NAME, "default"),
    "kind": _pattern("[a-z]+", "chain"),
    "name": _pattern(_NAME, "handbook"),
    "alias": _pattern(_NAME, "production"),
    "version": _pattern(_VERSION, "v3"),
    "digest": _pattern(_DIGEST, "sha256:" + "0" * 64),
    "other": _pattern(f"({_DIGEST}|{_VERSION})", "v2"),
    "trace_id": _TRACE,
    "run_id": _TRACE,
    **dict.fromkeys(
        ("alert", "approval", "evaluation", "job_id", "key_id", "promotion", "rule", "run", "session", "tune"), _ID
    ),
}
"""Of parameters in the path."""

QUERIES: Final[Mapping[str, dict[str, Any]]] = {
    "cursor": {"pattern": "^[A-Za-z0-9_-]{9,}$", "description": "What `next` of the page before said, unchanged."},
    "since": _SINCE,
    "anchor": _pattern(f"[0-9]{{1,9}}:{_DIGEST}", "7:sha256:" + "0" * 64),
    "root": _pattern(_REF, "chain/handbook"),
    "trace": _TRACE,
    "only": _pattern(_REF, "chain/handbook"),
    "of": {"minLength": 1},
    "version": _pattern(_VERSION, "v3"),
    "expected": _pattern(f"(v[1-9][0-9]{{0,8}}|{_DIGEST})", "v3"),
}
"""Of parameters in the query."""

OF_ROUTES: Final[Mapping[str, Mapping[str, dict[str, Any]]]] = {
    "GET /traces": {"from": _TIME, "to": _TIME},
    "GET /lineage/path": {"from": {"minLength": 1}, "to": {"minLength": 1}},
    "GET /approvals": {"release": _APP},
    "GET /evidence/cards": {"release": _APP},
    "GET /evidence/bom": {"release": _APP},
    "GET /monitor-runs": {"monitor": _of("monitor")},
    "PUT /artifacts/{kind}/{name}/aliases/{alias}": {"alias": _MOVED_ALIAS},
    "DELETE /artifacts/{kind}/{name}/aliases/{alias}": {"alias": _MOVED_ALIAS},
    "GET /artifacts": {"tag": {"pattern": r"^[^\W_][\w.:/ -]{0,127}=[^\x00-\x1f\x7f-\x9f]*$", "examples": ["team=search"]}},
    "GET /audit": {"since": _TIME},
    "GET /api/v1/audit": {"since": _TIME},
    "GET /releases/{digest}": {"digest": _APP},
    "GET /releases/{digest}/diff/{other}": {"digest": _APP, "other": _APP},
}
"""Where a name means another thing than elsewhere."""

BODIES: Final[Mapping[str, Mapping[str, dict[str, Any]]]] = {
    "Deployment": {"app": _APP, "environment": _pattern(_NAME, "production")},
    "Digests": {"digests": _pattern(_DIGEST, "sha256:" + "0" * 64)},
    "NewApproval": {"release": _APP, "expires": _LENGTH},
    "NewKey": {"expires": _LENGTH, "person": _pattern(_NAME, "ana"), "endpoints": _of("endpoint")},
    "NewLink": {"person": _pattern(_NAME, "ana")},
    "Rotation": {"overlap": _LENGTH},
    "FromTraces": {"since": _SINCE, "until": _TIME, "apart": _of("dataset")},
    "NewEvaluation": {"app": _APP, "data": _of("dataset"), "environment": _pattern(_NAME, "staging")},
    "NewPack": {"release": _APP},
    "NewPromotion": {"app": _APP, "from": _pattern(_NAME, "staging")},
    "NewRelease": {"root": _pattern(_REF, "chain/handbook")},
    "NewRollout": {"endpoint": _of("endpoint"), "app": _APP, "share": _pattern("([1-9][0-9]?|100)%?", "10%")},
    "NewTune": {"tune": _of("tune"), "data": _of("dataset"), "evaluate_on": _of("dataset")},
    "NewAlias": {"version": _pattern(_VERSION, "v3")},
    "NewProject": {"name": _pattern(_NAME, "default")},
    "NewPerson": {"name": _pattern(_NAME, "ana"), "email": _EMAIL},
    "PersonChange": {"email": _EMAIL},
    "PolicyQuestion": {"app": _APP, "target": _pattern(f"(endpoint/{_NAME}|[a-z]+/{_NAME}@{_NAME})", "endpoint/support")},
    "Text": {"model": _of("model")},
    "Acceptance": {"to": _of("dataset")},
    "RunRequest": {"app": _APP, "environment": _pattern(_NAME, "staging")},
}
"""Of fields of a request's body, by the name of its schema."""


def _either(*names: str) -> dict[str, Any]:
    """Exactly one of the fields, and not null."""
    given = {"not": {"type": "null"}}
    return {
        "oneOf": [
            {"required": [each], "properties": {each: given} | {other: {"type": "null"} for other in names if other != each}}
            for each in names
        ]
    }


WHOLE: Final[Mapping[str, dict[str, Any]]] = {
    "NewRun": _either("monitor", "spec"),
    "Verify": _either("release", "lock"),
}
"""Of a request's whole body: what its fields are to one another."""


def add_form(schema: dict[str, Any], form: Mapping[str, Any]) -> None:
    """Add a form to a schema: to its text, where it may be null too, and to the items of a list."""
    for branch in schema.get("anyOf", ()):
        if branch.get("type") in {"string", "array"}:
            add_form(branch, form)
            return
    if schema.get("type") == "array":
        add_form(schema["items"], form)
    elif "anyOf" in form:
        schema.pop("type", None)
        schema.update(form)
    else:
        schema.update(form)
