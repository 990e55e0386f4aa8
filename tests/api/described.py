"""Holds answers to the OpenAPI document: status, headers, content type, and a body with every field described and no other."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from tidemill.api.control import control_plane

OPEN_ENDED = {"Change", "ModelCard"}  # more stands beside, by kind of artifact and by provider
_PLAIN = ("/docs", "/openapi.json", "/healthz", "/readyz", "/login")


@cache
def document() -> dict[str, Any]:
    return control_plane(None).openapi()  # pyright: ignore[reportArgumentType]  (no route is called)


@cache
def _strict() -> dict[str, Any]:
    """The document, refusing fields that it does not describe."""
    strict = copy.deepcopy(document())
    for name in _answered():
        schema = strict["components"]["schemas"][name]
        if name not in OPEN_ENDED and "properties" in schema:
            schema["additionalProperties"] = False
    return strict


def _answered() -> set[str]:
    """The names of the schemas that only answers have, at whatever depth."""
    operations = [each for item in document()["paths"].values() for each in item.values()]
    taken = _named([each.get("requestBody") for each in operations], set())
    return _named([each["responses"] for each in operations] + [document()["components"]["responses"]], set()) - taken


def _named(value: Any, found: set[str]) -> set[str]:
    if isinstance(value, dict):
        ref = str(value.get("$ref", ""))
        name = ref.removeprefix("#/components/schemas/")
        if name != ref and name not in found:
            found.add(name)
            _named(document()["components"]["schemas"][name], found)
        for each in value.values():
            _named(each, found)
    elif isinstance(value, list):
        for each in value:
            _named(each, found)
    return found


@cache
def _paths() -> list[tuple[re.Pattern[str], str]]:
    return [
        (re.compile(re.sub(r"\{(\w+)\}", r"[^/]+", path).replace("/models/[^/]+", "/models/.+") + "$"), path)
        for path in document()["paths"]
    ]


@cache
def _validator(pointer: str) -> Any:
    return jsonschema_rs.Draft202012Validator(
        {"$ref": pointer, "components": _strict()["components"], "paths": _strict()["paths"]}
    )


def check(response: httpx.Response) -> None:
    """Raise `AssertionError` for an answer that the document does not describe."""
    request = response.request
    path = request.url.path
    if path == "/" or path.startswith(_PLAIN):
        return
    method = "get" if request.method == "HEAD" else request.method.lower()
    found = [template for pattern, template in _paths() if pattern.match(path)]
    template = next(
        (each for each in sorted(found, key=lambda each: each.count("{")) if method in document()["paths"][each]),
        None,
    )
    if template is None:
        assert response.status_code in {400, 401, 403, 404, 405, 414, 431}, response.text
        return
    described = document()["paths"][template][method]["responses"]
    told = f"{request.method} {template} answered {response.status_code}"
    status = str(response.status_code)
    assert status in described, f"{told}, which is not described: {response.text[:300]}"
    assert response.headers["x-request-id"]
    if response.status_code in {204, 304} or request.method == "HEAD":
        assert not response.content, told
        return
    pointer = f"#/paths/{_escaped(template)}/{method}/responses/{status}"
    if "$ref" in described[status]:
        pointer = described[status]["$ref"]
    content = _at(pointer)["content"]
    kind = response.headers["content-type"].partition(";")[0]
    assert kind in content, f"{told} as {kind}"
    if kind in {"application/json", "application/problem+json"}:
        errors = [
            f"{each.instance_path}: {each.message}"
            for each in _validator(f"{pointer}/content/{_escaped(kind)}/schema").iter_errors(json.loads(response.content))
        ]
        assert not errors, f"{told}: {'; '.join(errors[:5])[:1500]}"


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")


def _at(pointer: str) -> Any:
    found: Any = document()
    for each in pointer.removeprefix("#/").split("/"):
        found = found[each.replace("~1", "/").replace("~0", "~").replace("%7B", "{").replace("%7D", "}")]
    return found
