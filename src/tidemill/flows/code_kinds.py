"""`kind: tool` and `kind: function`: the project's own Python, found without being run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tidemill.core.difference import Difference
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import BlobReader, Files, Surroundings
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Material, Parsed, Version
from tidemill.flows.code import Code, read_code
from tidemill.flows.contract import code_difference
from tidemill.flows.material import code_material
from tidemill.flows.signature import description_of, schema_of
from tidemill.prompts.fields import Fields, Problems

EFFECTS: Final = ("none", "read", "write", "irreversible")
_LATER: Final = ("openapi", "mcp", "sql", "http", "code")
_OPAQUE: Final[JsonObject] = {"type": "object"}


class FunctionKind:
    """Any Python callable as a step. `effects: none` declares that it may be re-used: same arguments, same answer."""

    name = "function"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:
        """Canonical form: `code` (entry and sources), `parameters` (a JSON Schema), `effects`."""
        problems = Problems()
        fields = Fields(body, problems=problems)
        fields.only(("call", "parameters", "effects"), what="a function")
        code = _read_entry(fields, "call")
        return _parsed(fields, code, files=files)

    def materialise(self, version: Version, *, around: Surroundings) -> Material:  # noqa: ARG002  (the Protocol's argument)
        """`call`, and the project's own modules as files."""
        return code_material(version.spec, key="call")

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:  # noqa: ARG002  (the Protocol's)
        """A function references nothing."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """The source files, what it takes and does, and the fields that changed."""
        return code_difference(old, new).lines

    def changes(self, old: Version, new: Version, *, blobs: BlobReader) -> Difference:  # noqa: ARG002  (the Protocol's argument)
        """The same, by place too."""
        return code_difference(old.spec, new.spec)


class ToolKind:
    """What a model may call: a Python callable, its arguments as a JSON Schema, its effects."""

    name = "tool"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:
        """Canonical form: `code`, `parameters` (from the signature unless given), `effects`, and `purpose` for the model."""
        problems = Problems()
        fields = Fields(body, problems=problems)
        later = [each for each in _LATER if each in body]
        for key in later:
            hint = "Write python: package.module:callable."
            problems.add(f"tools of the form {key} are not built yet", where=key, hint=hint)
        fields.only(("python", "parameters", "effects", "purpose", *_LATER), what="a tool")
        code = None if later else _read_entry(fields, "python")
        return _parsed(fields, code, files=files, is_tool=True)

    def materialise(self, version: Version, *, around: Surroundings) -> Material:  # noqa: ARG002  (the Protocol's argument)
        """`python`, and the project's own modules as files."""
        return code_material(version.spec, key="python")

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:  # noqa: ARG002  (the Protocol's)
        """A tool references nothing."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """The source files, what it takes and does, and the fields that changed."""
        return code_difference(old, new).lines

    def changes(self, old: Version, new: Version, *, blobs: BlobReader) -> Difference:  # noqa: ARG002  (the Protocol's argument)
        """The same, by place too."""
        return code_difference(old.spec, new.spec)


def _read_entry(fields: Fields, key: str) -> Code | None:
    entry = fields.text(key, required=True)
    if entry is None:
        return None
    try:
        return read_code(entry)
    except Invalid as error:
        fields.problems.add(error.message, where=fields.at(key), hint=error.hint)
        return None


def _parsed(fields: Fields, code: Code | None, *, files: Files, is_tool: bool = False) -> Parsed:
    effects = fields.choice("effects", EFFECTS, default="read") or "read"
    parameters = fields.schema("parameters")
    if code is not None and not fields.has("parameters"):
        parameters = _derived(fields, code, is_tool=is_tool)
    purpose = fields.text("purpose") if is_tool else None
    if is_tool and purpose is None and code is not None and code.definition is not None:
        purpose = description_of(code.definition)
    fields.problems.raise_if_any()
    assert code is not None
    spec: dict[str, Json] = {"code": code.as_json(), "effects": effects}
    if parameters is not None:
        spec["parameters"] = parameters
    if purpose:
        spec["purpose"] = purpose
    blobs = {} if code.lock is None else {"lock": files.put_blob(code.lock.content)}
    return Parsed(spec=spec, blobs=blobs, hermetic=code.hermetic, notes=code.notes)


def _derived(fields: Fields, code: Code, *, is_tool: bool) -> JsonObject | None:
    if code.definition is None:
        if is_tool:
            hint = "Give parameters: a JSON Schema of an object."
            fields.problems.add(
                f"{code.entry} is not a plain function, so its arguments are not known", where="python", hint=hint
            )
        return None
    try:
        return schema_of(code.definition)
    except Invalid as error:
        fields.problems.add(error.message, where="python" if is_tool else "call", hint=error.hint)
        return None
