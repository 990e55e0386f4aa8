"""`format: jinja`: Jinja templates in a sandbox, for loops and conditions that Mustache does not have. Nothing is escaped."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tidemill.core.errors import Invalid
from tidemill.core.json import Json
from tidemill.prompts.text import text_of

if TYPE_CHECKING:
    import jinja2.sandbox

_LARGEST = 1_000_000


class JinjaTemplate:
    """A parsed Jinja template; `names` are those that it does not set itself."""

    def __init__(self, text: str) -> None:
        from jinja2 import TemplateSyntaxError, meta  # noqa: PLC0415  (most prompts are Mustache)

        environment = _environment()
        try:
            parsed = environment.parse(text)
            self._template = environment.from_string(text)
        except TemplateSyntaxError as error:
            raise Invalid(f"not a Jinja template: {error.message} (line {error.lineno})") from error
        self.names = frozenset(meta.find_undeclared_variables(parsed)) - frozenset(environment.globals)

    def render(self, values: Mapping[str, Json]) -> str:
        """The text. Raises `Invalid` for what the sandbox refuses and for a text beyond a million characters."""
        from jinja2 import TemplateError  # noqa: PLC0415  (as above)

        try:
            pieces: list[str] = []
            length = 0
            for piece in self._template.generate(values):
                pieces.append(piece)
                length += len(piece)
                if length > _LARGEST:
                    raise Invalid(f"the template gave more than {_LARGEST:,} characters")
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, MemoryError) as error:
            raise Invalid(f"the template cannot be rendered: {error}") from error
        return "".join(pieces)


@functools.cache
def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    from jinja2 import StrictUndefined  # noqa: PLC0415  (as above)
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415  (as above)

    return ImmutableSandboxedEnvironment(
        autoescape=False, undefined=StrictUndefined, finalize=_finalize, keep_trailing_newline=True
    )


def _finalize(value: Json) -> Json:
    return value if isinstance(value, str) else text_of(value)
