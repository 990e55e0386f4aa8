"""Pipelines as a document says them."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Material
from tidemill.flows.material import module_files
from tidemill.flows.names import steps_in
from tidemill.pipelines.forms import FORMS


def pipeline_material(spec: JsonObject) -> Material:
    """Each step with its form as the key, and the modules that its `python` steps run."""
    modules: dict[str, bytes] = {}
    steps: list[Json] = []
    for step in steps_in(spec.get("steps")):
        if isinstance(code := step.get("code"), Mapping):
            modules |= module_files(code)
        steps.append(_step(step))
    return Material(body={key: each for key, each in {**spec, "steps": steps}.items() if each}, modules=modules)


def _step(step: JsonObject) -> JsonObject:
    kind, args = str(step["do"]), step["args"]
    form = FORMS[kind]
    is_short = isinstance(args, Mapping) and set(args) == {form.short} and isinstance(args[form.short], str)
    short = args[form.short] if isinstance(args, Mapping) and is_short else args
    rest = {key: value for key, value in step.items() if key not in {"id", "do", "args", "code"} and value != []}
    return {"id": step["id"], kind: short, **rest}
