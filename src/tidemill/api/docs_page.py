"""`GET /docs`: the OpenAPI document as one page for people, without a script and without anything from elsewhere."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any, Final, cast

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE: Final = """body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;
color-scheme:light dark}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{overflow:auto;padding:.6rem;border:1px solid #8884;border-radius:6px}
summary{cursor:pointer;padding:.25rem 0}summary b{display:inline-block;width:4.2rem}summary i{opacity:.65;font-style:normal}
table{border-collapse:collapse}td,th{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top}nav a{margin-right:.8rem}
details{border-bottom:1px solid #8883}details>div{padding:0 0 1rem 1rem}"""


def install_docs(app: FastAPI) -> None:
    """Serve the page; it is made once."""
    made: list[str] = []

    async def docs(_request: Request) -> HTMLResponse:
        if not made:
            made.append(docs_page(app.openapi()))
        return HTMLResponse(made[0], headers={"content-security-policy": _POLICY})

    app.add_route("/docs", docs, include_in_schema=False)


def docs_page(document: Mapping[str, Any]) -> str:
    """The whole page."""
    groups: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                operation = item[method]
                groups.setdefault(operation["tags"][0], []).append(_operation(method, path, operation))
    about = {each["name"]: each["description"] for each in document["tags"]}
    links = "".join(f'<a href="#{_text(each)}">{_text(each)}</a> ' for each in groups)
    sections = "".join(
        f'<h2 id="{_text(tag)}">{_text(tag)}</h2><p>{_text(about.get(tag, ""))}{"".join(each)}' for tag, each in groups.items()
    )
    schemas = "".join(_schema(name, each) for name, each in sorted(document["components"]["schemas"].items()))
    info = document["info"]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Tidemill API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>Tidemill API {_text(info['version'])}</h1><p>{_text(info['description'])}"
        f'<p>The same for programs: <a href="/openapi.json">/openapi.json</a>. <a href="/docs/errors/">Errors</a>.'
        f'<nav>{links}<a href="#schemas">schemas</a></nav>{sections}<h2 id="schemas">Schemas</h2>{schemas}</html>'
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    name = operation["operationId"]
    parameters = "".join(_parameter(each) for each in operation.get("parameters", ()))
    taken = f"<table><tr><th>parameter<th>in<th>type<th>{parameters}</table>" if parameters else ""
    body = operation.get("requestBody", {}).get("content", {})
    sends = "".join(f"<p>Body, <code>{_text(kind)}</code>: {_type(each.get('schema', {}))}" for kind, each in body.items())
    responses: Mapping[str, Any] = operation["responses"]
    answers = "".join(_answer(status, each) for status, each in responses.items() if status < "400")
    errors = ", ".join(status for status in responses if status >= "400")
    head = f"<b>{method.upper()}</b> <code>{_text(path)}</code> <i>{_text(name)}</i>"
    return (
        f'<details id="{_text(name)}"><summary>{head}</summary>'
        f"<div><p>{_text(operation.get('description', ''))}{taken}{sends}{answers}<p>Errors: {errors}</div></details>"
    )


def _parameter(parameter: Mapping[str, Any]) -> str:
    needed = " (required)" if parameter.get("required") else ""
    return (
        f"<tr><td><code>{_text(parameter['name'])}</code>{needed}<td>{_text(parameter['in'])}<td>{_type(parameter['schema'])}"
        f"<td>{_text(parameter.get('description', ''))}"
    )


def _answer(status: str, answer: Mapping[str, Any]) -> str:
    content = cast("Mapping[str, Any]", answer.get("content", {}))
    kinds = "; ".join(f"<code>{_text(kind)}</code> {_type(each.get('schema', {}))}" for kind, each in content.items())
    return f"<p>{_text(status)}: {kinds or _text(str(answer.get('description', '')))}"


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    shown = html.escape(json.dumps(schema, indent=2, ensure_ascii=False))
    name = _text(name)
    return f'<details id="schema-{name}"><summary><code>{name}</code></summary><div><pre>{shown}</pre></div></details>'


def _type(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return ""
    given = cast("Mapping[str, Any]", schema)
    if "$ref" in given:
        name = _text(given["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    for word in ("anyOf", "oneOf"):
        if word in given:
            return " or ".join(filter(None, (_type(each) for each in given[word])))
    if given.get("type") == "array":
        return f"list of {_type(given.get('items', {})) or 'anything'}"
    if "enum" in given:
        return ", ".join(f"<code>{_text(str(each))}</code>" for each in given["enum"])
    if given.get("properties"):
        inner = ", ".join(f"<code>{_text(name)}</code> {_type(each)}" for name, each in given["properties"].items())
        return f"object of {inner}"
    kind = given.get("type", "")
    return _text(kind if isinstance(kind, str) else ", ".join(map(str, kind)))


def _text(text: str) -> str:
    return html.escape(str(text))
