"""The artifact kinds of this room."""

from tidemill.flows.agent_kind import AgentKind
from tidemill.flows.chain_kind import ChainKind
from tidemill.flows.code_kinds import FunctionKind, ToolKind
from tidemill.flows.guardrail_kind import GuardrailKind

__all__ = ["AgentKind", "ChainKind", "FunctionKind", "GuardrailKind", "ToolKind"]
