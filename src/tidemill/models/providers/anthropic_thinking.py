"""How long Anthropic's models think: an effort in one word, said as each of them understands it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tidemill.core.json import Json
from tidemill.models.reading import child, count

_BUDGETS: Final[Mapping[str, int]] = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32000}
_LEAST: Final = 1024
_NEWEST = (99, 0)
_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d)(?:-(\d)(?!\d))?")


def think(body: dict[str, Json], effort: str) -> dict[str, Json]:
    """The body with its effort. Models from 4.6 on take the word itself, those from 3.7 on a budget; older ones do not think.

    What was said of thinking in the dialect itself stays. It is a hint: where it does not go together with the temperature or a
    tool that must be called, it is left out.
    """
    thinking = child(body, "thinking")
    if thinking:
        said = thinking.get("type") == "enabled" and effort == effort_of(count(thinking, "budget_tokens"))
        return body if said else _with_effort(body, effort)
    version = version_of(str(body.get("model")), otherwise=_NEWEST)
    if effort == "none" or version < (3, 7):
        return body
    if version >= (4, 6):
        return _with_effort({**body, "thinking": {"type": "adaptive"}}, effort)
    most, given = count(body, "max_tokens"), _BUDGETS.get(effort, 8192)
    budget = min(given, most - _LEAST) if most > 2 * _LEAST else 0
    forced = child(body, "tool_choice").get("type") in {"any", "tool"}
    if budget < _LEAST or forced or body.get("temperature", 1) != 1 or "top_k" in body:
        return body
    return {**body, "thinking": {"type": "enabled", "budget_tokens": budget}}


def effort_of(budget: int) -> str:
    """The word for a budget of tokens."""
    return "low" if budget <= 1024 else "medium" if budget <= 8192 else "high"


def _with_effort(body: dict[str, Json], effort: str) -> dict[str, Json]:
    word = effort if effort in _EFFORTS else "low"
    return {**body, "output_config": {**child(body, "output_config"), "effort": word}}


def version_of(model: str, *, otherwise: tuple[int, int]) -> tuple[int, int]:
    """As in `claude-sonnet-4-6`, also behind a region and a maker; `otherwise` where the name says no version."""
    found = _VERSION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else otherwise
