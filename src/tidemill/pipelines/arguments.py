"""The arguments of a step: read from the document, and filled in when it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from tidemill.core.durations import parse_duration
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import is_digest, parse_ref
from tidemill.flows.step_spec import read_template
from tidemill.flows.values import compile_value
from tidemill.pipelines.after import parse_after
from tidemill.pipelines.forms import FORMS, Key
from tidemill.prompts.fields import Problems, place, type_name
from tidemill.store.endpoints import get_endpoint
from tidemill.store.registry import get_version

_UNVERSIONED = frozenset({"monitor"})


def is_template(value: Json) -> bool:
    """Whether a text is filled in when the step runs."""
    return isinstance(value, str) and "{{" in value


def read_argument(value: Json, *, name: str, key: Key, where: str, problems: Problems, references: dict[str, str]) -> Json:
    """One argument in its canonical form; a reference to an artifact is noted, so that it must exist."""
    if is_template(value) or key.type in {"any", "list"}:
        if key.type == "list" and not is_template(value):
            value = [value] if isinstance(value, str) else value
            _note_scorers(value, where=where, problems=problems, references=references)
        return read_template(value, where=where, problems=problems)
    try:
        checked = _checked(value, name=name, key=key)
    except Invalid as error:
        problems.add(error.message, where=where, hint=error.hint)
        return None
    if key.type == "ref" and isinstance(checked, str) and not is_digest(checked) and not checked.startswith("endpoint/"):
        references[where] = checked
    return checked


def _note_scorers(value: Json, *, where: str, problems: Problems, references: dict[str, str]) -> None:
    if isinstance(value, str) or not isinstance(value, Sequence):
        problems.add(f"a list is needed here, not {type_name(value)}", where=where)
        return
    for number, each in enumerate(value):
        if isinstance(each, str) and each.startswith("scorer/"):
            references[place(where, number)] = each


def _checked(value: Json, *, name: str, key: Key) -> Json:
    match key.type:
        case "ref" | "name":
            return _reference(value, name=name, key=key)
        case "text":
            if not isinstance(value, str) or not value.strip():
                raise Invalid(f"{name} needs text, not {type_name(value)}")
            if name == "after":
                parse_after(value)
            return value
        case "number":
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise Invalid(f"{name} is {value!r}, but must be a whole number from 1")
            return value
        case "flag" if not isinstance(value, bool):
            raise Invalid(f"{name} needs true or false, not {type_name(value)}")
        case "duration":
            return parse_duration(value, what=name)
        case _:
            return parse_share(value) if key.type == "share" else value


def _reference(value: Json, *, name: str, key: Key) -> Json:
    if not isinstance(value, str):
        raise Invalid(f"{name} needs a reference, not {type_name(value)}", hint=f"Write {key.kinds[0]}/NAME.")
    if is_digest(value) and "release" in key.kinds:
        return value
    ref = parse_ref(value, kind=key.kinds[0] if len(key.kinds) == 1 else None)
    if ref.kind not in key.kinds:
        raise Invalid(f"{value!r} is a {ref.kind}, but {name} is one of {', '.join(key.kinds)}")
    return str(ref)


def parse_share(value: Json) -> float:
    """A share of the traffic in percent: `10%`, or 10. Raises `Invalid` outside of (0, 100]."""
    hint = "Write share: 10%."
    try:
        share = float(str(value).strip().removesuffix("%"))
    except ValueError as error:
        raise Invalid(f"share is {value!r}, which is not a share", hint=hint) from error
    if not 0 < share <= 100:
        raise Invalid(f"share is {value!r}, but must be above 0 % and at most 100 %", hint=hint)
    return share


def fill(step: JsonObject, values: Mapping[str, Json], *, pipeline: Version) -> dict[str, Json]:
    """A step's arguments with every template filled in, each reference with the digest that the pipeline was applied with."""
    form = FORMS[str(step["do"])]
    args = step["args"]
    assert isinstance(args, Mapping)
    filled: dict[str, Json] = {}
    for name, written in args.items():
        value = compile_value(written)(values)
        key = form.keys[name]
        if isinstance(value, Mapping) and key.field and key.type != "any":
            value = _part(value, key=key, step=str(step["id"]), name=name)
        if is_template(written):
            value = _late(value, name=name, key=key, step=str(step["id"]))
        filled[name] = pinned(value, pipeline) if key.type == "ref" else _pinned_all(value, pipeline, name)
    if "with" in step:
        filled["with"] = compile_value(step["with"])(values)
    return filled


def pinned(value: Json, pipeline: Version) -> Json:
    """`kind/name@sha256:…` for a reference that the pipeline's own version resolved; anything else as it is."""
    digest = pipeline.refs.get(value) if isinstance(value, str) else None
    return value if digest is None else str(parse_ref(str(value)).at(digest))


def has_references(step: JsonObject, args: JsonObject) -> bool:
    """Whether `resolved` has anything to look up."""
    keys = FORMS[str(step["do"])].keys
    return any(keys[name].type == "ref" and "@sha256:" not in str(value) for name, value in args.items() if name in keys)


def resolved(db: Connection, project: str, step: JsonObject, args: JsonObject) -> dict[str, Json]:
    """The arguments with every reference by its digest as of now, an endpoint by that of the release which it serves."""
    keys = FORMS[str(step["do"])].keys
    return {
        name: _resolved(db, project, value) if name in keys and keys[name].type == "ref" else value
        for name, value in args.items()
    }


def _resolved(db: Connection, project: str, value: Json) -> Json:
    if not isinstance(value, str) or is_digest(value):
        return value
    ref = parse_ref(value)
    if ref.kind == "endpoint":
        return get_endpoint(db, project, value).release
    if ref.digest is not None or ref.kind in _UNVERSIONED:
        return value
    found = get_version(db, project, ref)
    return found.digest if ref.kind == "release" else str(ref.at(found.digest))


def _pinned_all(value: Json, pipeline: Version, name: str) -> Json:
    if name == "scorers" and isinstance(value, Sequence) and not isinstance(value, str):
        return [pinned(each, pipeline) for each in value]
    return value


def _part(value: Mapping[str, Json], *, key: Key, step: str, name: str) -> Json:
    """The field of another step's output that an argument means."""
    for field in (key.field, name, "ref"):
        if value.get(field) is not None:
            return value[field]
    raise Invalid(
        f'step "{step}" needs {key.field} for {name}, but was given an output without it: {", ".join(value) or "nothing"}',
        hint="Name the field, as in {{step.field}}.",
    )


def _late(value: Json, *, name: str, key: Key, step: str) -> Json:
    """A value that only now is known, held to what its key allows."""
    if value is None:
        if key.required:
            raise Invalid(f'step "{step}" was given nothing for {name}', hint="See what the step before gave.")
        return None
    if key.type in {"any", "list"}:
        return value
    try:
        return _checked(value, name=name, key=key)
    except Invalid as error:
        raise Invalid(f'step "{step}": {error.message}', hint=error.hint) from error
