"""Conditions: the Common Expression Language (https://cel.dev), which has no loops, no side effects and no input or output."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tidemill.core.errors import Invalid

_BOUND = re.compile(r"\.(?:all|exists|exists_one|existsOne|map|filter)\(\s*([A-Za-z_]\w*)\s*,")
_HINT = 'Write CEL, as in size(find) > 0 && question.contains("refund").'


class Condition:
    """A compiled condition; `names` are those that it reads, `calls` the functions that it calls, those of CEL too."""

    __slots__ = ("_program", "calls", "names", "text")

    def __init__(self, text: str) -> None:
        """Compile. Raises `Invalid` with the column of a mistake."""
        import cel  # noqa: PLC0415  (a third of a second to import, and few chains have conditions)

        try:
            self._program = cel.compile(text)
        except ValueError as error:
            raise Invalid(f"the condition {text!r} is not CEL: {_reason(str(error))}", hint=_HINT) from error
        self.text = text
        bound = set(_BOUND.findall(text))
        self.names = frozenset(name for name in self._program.variables() if name not in bound)
        self.calls = frozenset(name for name in self._program.functions() if name.isidentifier() and not name.startswith("_"))

    def holds(self, values: Mapping[str, object], *, functions: Mapping[str, Callable[..., object]] | None = None) -> bool:
        """Whether it holds for these values, with these functions beside those of CEL (a function must not raise).

        Raises `Invalid` when it cannot be computed or is neither true nor false.
        """
        import cel  # noqa: PLC0415  (see above)

        known = {name: values.get(name) for name in self.names}
        try:
            result: object = self._program.execute(cel.Context(known, dict(functions)) if functions else known)
        except (RuntimeError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise Invalid(f"the condition {self.text!r} failed: {_reason(str(error))}", hint=_HINT) from error
        if not isinstance(result, bool):
            raise Invalid(f"the condition {self.text!r} gave {result!r}, which is neither true nor false", hint=_HINT)
        return result


def _reason(text: str) -> str:
    found = re.search(r"<input>:(\d+):(\d+): (?:Syntax error: )?([^\n{]*)", text)
    if found:
        return f"column {found[2]}: {found[3].removesuffix(' expecting ').strip()}"
    return text.split(":", 1)[0].split(". ", 1)[0] if "overload" in text else text.splitlines()[0].split(". ", 1)[0]
