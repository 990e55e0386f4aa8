"""How what is measured of metrics' points is named, and by what points can be grouped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from tidemill.core.errors import Invalid
from tidemill.telemetry.expression.syntax import Key

MEASURE: Final = re.compile(r"metric\.(.{1,200})\.(sum|count|mean|p(\d{1,2}(?:\.\d{1,2})?))", re.DOTALL)
ATTRIBUTES: Final[Mapping[str, Sequence[str]]] = {
    "model": ("gen_ai.request.model", "gen_ai.response.model"), "provider": ("gen_ai.provider.name", "gen_ai.system"),
}  # fmt: skip
"""Dimensions that senders write under names of their own."""
COLUMNS: Final = frozenset({"service", "scope"})


def check_dimension(name: str, key: Key) -> None:
    """Raise `Invalid` for what points have not."""
    if key.scope == "tag" or (key.scope == "column" and key.name not in COLUMNS | set(ATTRIBUTES)):
        raise Invalid(
            f"points of metrics have no {name!r}",
            hint="By: model, provider, service, scope, or one of their attributes, as in gen_ai.token.type.",
        )
