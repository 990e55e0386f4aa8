"""`kind: prompt`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tidemill.core.difference import Difference
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import BlobReader, Files, Surroundings
from tidemill.core.json import Json, JsonObject
from tidemill.core.parts import ROLES, message_from_json
from tidemill.core.records import Material, Parsed, Version
from tidemill.core.suggest import nearest
from tidemill.prompts.changes import prompt_difference
from tidemill.prompts.fields import Fields, Problems, place, type_name
from tidemill.prompts.jinja import JinjaTemplate
from tidemill.prompts.material import prompt_body
from tidemill.prompts.mustache import parse
from tidemill.prompts.variables import Variable, parse_variables

_KEYS = ("text", "messages", "variables", "examples", "output_schema", "format", "model", "params")
_FORMATS = ("mustache", "jinja")
_ONE_OF = "Write either text: … or messages: [{role, content}]."


class PromptKind:
    """A template with message roles, few-shot examples, an output schema and typed variables.

    `model` is the default for using it by itself; a chain's step names its own.
    """

    name = "prompt"
    versioned = True

    def parse(self, body: JsonObject, *, files: Files) -> Parsed:  # noqa: ARG002  (the Protocol's argument)
        """Canonical form: `messages`, `variables` as a list, and the rest as given."""
        problems = Problems()
        fields = Fields(body, problems=problems)
        fields.only(_KEYS, what="a prompt")
        form = fields.choice("format", _FORMATS, default="mustache") or "mustache"
        messages = _parse_messages(fields)
        declared = parse_variables(body.get("variables"), where="variables", problems=problems)
        variables = _with_inferred(declared, messages, form=form, given="variables" in body, problems=problems)
        spec: dict[str, Json] = {
            "messages": [each for _, each in messages],
            "variables": [each.as_json() for each in variables],
        }
        if form != "mustache":
            spec["format"] = form
        if examples := _parse_examples(fields):
            spec["examples"] = examples
        optional = {"output_schema": fields.schema("output_schema"), "params": fields.object("params")}
        spec.update({key: value for key, value in optional.items() if value})
        model = fields.ref("model", "model")
        problems.raise_if_any()
        if model:
            spec["model"] = model
        return Parsed(spec=spec, references={"model": model} if model else {})

    def materialise(self, version: Version, *, around: Surroundings) -> Material:
        """A body with `text` or `messages`, as it is written now."""
        return Material(body=prompt_body(version.spec, current=around.body))

    def check(self, spec: JsonObject, *, resolved: Mapping[str, Version]) -> Sequence[Problem]:  # noqa: ARG002  (the Protocol's)
        """A prompt references only its model, which fits always."""
        return ()

    def diff(self, old: JsonObject, new: JsonObject) -> Sequence[str]:
        """Changed words of each message as `[-old-]{+new+}`, and the other fields that changed."""
        return prompt_difference(old, new).lines

    def changes(self, old: Version, new: Version, *, blobs: BlobReader) -> Difference:  # noqa: ARG002  (the Protocol's argument)
        """The same, by place too."""
        return prompt_difference(old.spec, new.spec)


def _parse_messages(fields: Fields) -> list[tuple[str, JsonObject]]:
    """Each message with the place of its content. `text` is one user message."""
    if fields.has("text") == fields.has("messages"):
        fields.problems.add("a prompt needs either text or messages", where=fields.where, hint=_ONE_OF)
        return []
    if fields.has("text"):
        text = fields.text("text")
        return [("text", {"role": "user", "content": text})] if text else []
    found: list[tuple[str, JsonObject]] = []
    given = fields.list("messages")
    if given is not None and not given:
        fields.problems.add("messages is empty", where="messages")
    for number, each in enumerate(given or ()):
        where = place("messages", number)
        if not isinstance(each, Mapping):
            fields.problems.add(f"a message is an object with role and content, not {type_name(each)}", where=where)
            continue
        message = Fields(each, problems=fields.problems, where=where)
        message.only(("role", "content"), what="a message")
        role = message.choice("role", ROLES)
        if role is None:
            if not message.has("role"):
                message.missing("role")
            continue
        content = each.get("content")
        if not isinstance(content, str) and not _is_parts(content):
            message.wrong("content", "text or a list of parts")
            continue
        found.append((message.at("content"), {"role": role, "content": content}))
    return found


def _is_parts(content: Json) -> bool:
    try:
        message_from_json({"role": "user", "content": content})
    except Invalid:
        return False
    return True


def _with_inferred(
    declared: tuple[Variable, ...],
    messages: Sequence[tuple[str, JsonObject]],
    *,
    form: str,
    given: bool,
    problems: Problems,
) -> tuple[Variable, ...]:
    """The declared variables; when none were declared, those that the messages use. Notes every undeclared name."""
    known = {each.name for each in declared}
    inferred: dict[str, Variable] = {}
    for where, message in messages:
        for text in _texts(message["content"]):
            for name in _names_of(text, form=form, where=where, problems=problems):
                if name in known:
                    continue
                if given:
                    problems.add(f"{{{{{name}}}}} is not a variable of this prompt", where=where, hint=_hint(name, known))
                    continue
                inferred[name] = Variable(name=name, type="any")
    return declared if given else tuple(inferred.values())


def _hint(name: str, known: set[str]) -> str:
    near = nearest(name, known)
    start = f"did you mean {{{{{near}}}}}?  " if near else ""
    listed = ", ".join(sorted(known)) or "none"
    return f"{start}Variables here: {listed}"


def _texts(content: Json) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for each in content.values():
            yield from _texts(each)
    elif isinstance(content, Sequence):
        for each in content:
            yield from _texts(each)


def _names_of(text: str, *, form: str, where: str, problems: Problems) -> list[str]:
    try:
        if form == "jinja":
            return sorted(JinjaTemplate(text).names)
        return list(dict.fromkeys(path[0] for path, inside in parse(text).names() if not inside))
    except Invalid as error:
        problems.add(error.message, where=where, hint=error.hint)
        return []


def _parse_examples(fields: Fields) -> list[Json]:
    found: list[Json] = []
    for number, each in enumerate(fields.list("examples") or ()):
        where = place("examples", number)
        if not isinstance(each, Mapping):
            fields.problems.add(f"an example is an object with input and output, not {type_name(each)}", where=where)
            continue
        example = Fields(each, problems=fields.problems, where=where)
        example.only(("input", "output"), what="an example")
        for key in ("input", "output"):
            if not example.has(key):
                example.missing(key)
        found.append(each)
    return found
