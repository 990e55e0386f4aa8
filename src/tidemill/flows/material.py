"""Applications, their code and guardrails as a document says them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Material
from tidemill.flows.names import steps_in
from tidemill.prompts.material import variables_body


def chain_body(spec: JsonObject) -> JsonObject:
    """A chain's body."""
    return {
        **spec,
        "inputs": variables_body(spec.get("inputs")),
        "steps": [_step(each) for each in steps_in(spec.get("steps"))],
    }


def agent_body(spec: JsonObject) -> JsonObject:
    """An agent's body."""
    return {**spec, "inputs": variables_body(spec.get("inputs"))}


def code_material(spec: JsonObject, *, key: str) -> Material:
    """The body of what is code, its entry under `key`, and the project's own modules as files."""
    code = cast("Mapping[str, Json]", spec["code"])
    body = {key: code["entry"], **{name: value for name, value in spec.items() if name != "code"}}
    return Material(body=body, modules=module_files(code))


def module_files(code: Mapping[str, Json]) -> dict[str, bytes]:
    """The sources that stand in a spec, by their path from the project's root."""
    modules = cast("Mapping[str, str]", code.get("modules") or {})
    packages = {name.rpartition(".")[0] for name in modules}
    return {
        name.replace(".", "/") + ("/__init__.py" if name in packages else ".py"): source.encode()
        for name, source in modules.items()
        if source or name not in packages
    }


def guardrail_body(spec: JsonObject) -> JsonObject:
    """A guardrail's body: a check by its name, its options below it."""
    checks = [_check(each) for each in cast("Sequence[Mapping[str, Json]]", spec["checks"])]
    rest = {key: value for key, value in spec.items() if key not in {"on", "checks"}}
    return {"on": spec["on"], "check": checks[0] if len(checks) == 1 else checks, **rest}


def _check(check: Mapping[str, Json]) -> Json:
    name, options = str(check["check"]), check.get("options")
    return {name: options} if options else name


def _step(step: JsonObject) -> JsonObject:
    body = dict(step)
    if "fallback" in body:
        fallbacks: list[Json] = [
            {key: value for key, value in each.items() if key != "id"} for each in steps_in(step.get("fallback"))
        ]
        body["fallback"] = fallbacks[0] if len(fallbacks) == 1 else fallbacks
    if "branch" in body:
        body["branch"] = [
            {**branch, "steps": [_step(each) for each in steps_in(branch.get("steps"))]}
            for branch in steps_in(step.get("branch"))
        ]
    return body
