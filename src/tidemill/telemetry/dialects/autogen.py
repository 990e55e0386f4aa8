"""AutoGen: its runtime's messages between agents, beside OpenTelemetry's spans of agents and tools.

https://microsoft.github.io/autogen/stable/user-guide/agentchat-user-guide/tracing.html
"""

from __future__ import annotations

from typing import Final

from tidemill.core.json import Json
from tidemill.telemetry.dialects.dialect import At, Dialect, Whole, at
from tidemill.telemetry.dialects.handoffs import handed_to
from tidemill.telemetry.dialects.values import anything, inside, one_of, text
from tidemill.telemetry.otlp.raw import RawSpan

_OPERATIONS: Final = {
    "process": "chain",
    "create": "other",
    "publish": "other",
    "send": "other",
    "ack": "other",
    "receive": "other",
}
_AGENT: Final = "recipient_agent_type"


def _recipient(span: RawSpan) -> str | None:
    """The agent's name, without the id of its team."""
    said = text(span.attributes.get(_AGENT))
    return said.rpartition("_")[0] or said if said else None


def _message(value: Json) -> Json:
    found = anything(value)
    return None if found in ("No Message", {}, None) else found


def _team(value: Json) -> str | None:
    """The id of the team, out of a topic (`group_topic_ID/ID`)."""
    said = text(value)
    return said.rpartition("/")[2] or None if said else None


DIALECT: Final = Dialect(
    name="autogen",
    scopes=("autogen",),
    keys=("recipient_agent_type", "sender_agent_type"),
    rank=40,
    fields={
        "implied_kind": (At("messaging.operation", one_of(_OPERATIONS)),),
        "input": at("message", reader=_message),
        "session": (At("message_context", inside("topic_id", reader=_team)),),
        "gen_ai.agent.name": (Whole(_recipient, (_AGENT,)),),
        "tidemill.handoff.to": (handed_to(),),
    },
)
