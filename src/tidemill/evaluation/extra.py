"""The extra `eval`: NumPy and SciPy, which are imported only when something is measured."""

from __future__ import annotations

from importlib.util import find_spec

from tidemill.core.errors import MissingExtra


def require_eval(*, needed_for: str) -> None:
    """Raise `MissingExtra` unless the extra `eval` is installed; called before any work is done that would need it."""
    if find_spec("numpy") is None or find_spec("scipy") is None:
        raise MissingExtra("eval", needed_for=needed_for)
