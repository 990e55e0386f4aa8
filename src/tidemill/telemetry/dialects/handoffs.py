"""One agent handing over to another: frameworks do it by a tool of a certain name."""

from __future__ import annotations

import re
from typing import Final

from tidemill.telemetry.dialects.dialect import Whole
from tidemill.telemetry.dialects.values import is_object, text, unpacked
from tidemill.telemetry.otlp.raw import RawSpan

_NAMED: Final = re.compile(r"(?:handoff[-_])?(?:transfer|hand_?off)_to_(?!agent$)(.+)", re.IGNORECASE)
_TOOLS: Final = frozenset({"transfer_to_agent", "handoff_to_agent"})
_ARGUMENTS: Final = ("agent_name", "agent", "to_agent")


def handed_to(*arguments: str) -> Whole:
    """To which agent a tool's span hands over; `arguments` are the attributes that may hold what the tool was given."""

    def read(span: RawSpan) -> str | None:
        name = text(span.attributes.get("gen_ai.tool.name")) or ""
        if name not in _TOOLS:
            found = _NAMED.fullmatch(name)
            return found[1] if found else None
        for key in arguments:
            given = unpacked(span.attributes.get(key))
            if is_object(given):
                return next((text(given[each]) for each in _ARGUMENTS if text(given.get(each))), None)
        return None

    return Whole(read, ("gen_ai.tool.name",))
