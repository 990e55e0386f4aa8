"""From a prompt's spec and values to messages."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject, dump_json
from tidemill.core.parts import ROLES, Message, Role, Text, message_from_json
from tidemill.prompts.jinja import JinjaTemplate
from tidemill.prompts.mustache import parse
from tidemill.prompts.text import text_of
from tidemill.prompts.variables import Variable, check_values, from_spec

_Render: TypeAlias = Callable[[Mapping[str, Json]], Json]


class _TextTemplate(Protocol):
    def render(self, values: Mapping[str, Json]) -> str: ...


def compile_text(text: str, *, form: str) -> _TextTemplate:
    """A template of one text; `form` is `mustache` or `jinja`."""
    return JinjaTemplate(text) if form == "jinja" else parse(text)


class PromptTemplate:
    """A prompt, parsed once and rendered often."""

    def __init__(self, spec: JsonObject) -> None:
        form = str(spec.get("format", "mustache"))
        self.variables: tuple[Variable, ...] = from_spec(spec.get("variables"))
        schema = spec.get("output_schema")
        self.output_schema: JsonObject | None = schema if isinstance(schema, Mapping) else None
        params = spec.get("params")
        self.params: JsonObject = params if isinstance(params, Mapping) else {}
        self._examples = _example_messages(spec.get("examples"))
        self._messages = [_compile_message(each, form=form) for each in _objects(spec.get("messages"))]

    def render(self, values: JsonObject, *, what: str = "the prompt") -> tuple[Message, ...]:
        """The messages, few-shot examples after the leading system messages.

        Raises `Invalid` for a value that is missing, of a wrong type, or not a variable of the prompt.
        """
        checked = check_values(self.variables, self._as_declared(values), what=what)
        rendered = [build(checked) for build in self._messages]
        lead = next((at for at, message in enumerate(rendered) if message.role != "system"), len(rendered))
        return (*rendered[:lead], *self._examples, *rendered[lead:])

    def _as_declared(self, values: JsonObject) -> JsonObject:
        """A text variable takes any value as its text: retrieved passages numbered, objects as JSON."""
        textual = {each.name for each in self.variables if each.type == "string"}
        if all(name not in textual or isinstance(value, str) or value is None for name, value in values.items()):
            return values
        return {name: text_of(value) if name in textual and value is not None else value for name, value in values.items()}


@functools.lru_cache(maxsize=256)
def _template(canonical: bytes) -> PromptTemplate:
    import orjson  # noqa: PLC0415  (only to undo the key)

    return PromptTemplate(orjson.loads(canonical))


def render(spec: JsonObject, variables: JsonObject) -> tuple[Message, ...]:
    """Render a prompt's canonical spec with values for its variables."""
    return _template(dump_json(spec)).render(variables)


def _objects(value: Json) -> Sequence[JsonObject]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    return [each for each in value if isinstance(each, Mapping)]


def _compile_message(message: JsonObject, *, form: str) -> Callable[[Mapping[str, Json]], Message]:
    role = _role(message.get("role"))
    content = message.get("content")
    if isinstance(content, str):
        template = compile_text(content, form=form)
        return lambda values: Message(role=role, parts=(Text(text=template.render(values)),))
    build = _compile_value(content, form=form)
    return lambda values: message_from_json({"role": role, "content": build(values)})


def _role(value: Json) -> Role:
    for role in ROLES:
        if role == value:
            return role
    raise Invalid(f"the role {value!r} is not known", hint=f"Known: {', '.join(ROLES)}.")


def _compile_value(value: Json, *, form: str) -> _Render:
    if isinstance(value, str):
        return compile_text(value, form=form).render
    if isinstance(value, Mapping):
        fields = {key: _compile_value(each, form=form) for key, each in value.items()}
        return lambda values: {key: build(values) for key, build in fields.items()}
    if isinstance(value, Sequence):
        items = [_compile_value(each, form=form) for each in value]
        return lambda values: [build(values) for build in items]
    return lambda _: value


def _example_messages(examples: Json) -> tuple[Message, ...]:
    found: list[Message] = []
    for each in _objects(examples):
        found.append(Message.of("user", text_of(each.get("input"))))
        found.append(Message.of("assistant", text_of(each.get("output"))))
    return tuple(found)
