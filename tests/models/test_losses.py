"""What one dialect says and another cannot: refused where it changes the answer, else left out."""

import pytest

from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.errors import Invalid
from tidemill.core.parts import Message, Other, Text
from tidemill.models.losses import LOSSES, crossing

ASKED = (Message.of("user", "x"),)


@pytest.mark.parametrize(("dialect", "loss"), [(dialect, loss) for dialect, losses in LOSSES.items() for loss in losses])
def test_every_field_of_the_table_is_treated_as_it_says(dialect, loss):
    request = ChatRequest(model="m", messages=ASKED, extra={dialect: {loss.field: "said"}})
    assert crossing(request, writes=dialect, provider="x") is request
    if not loss.changes:
        assert crossing(request, writes=None, provider="x") is request
        return
    with pytest.raises(Invalid, match=loss.field) as caught:
        crossing(request, writes=None, provider="x")
    assert caught.value.kind == "invalid"
    drops = ChatRequest(model="m", messages=ASKED, extra=request.extra, params={"provider_options": {"unsupported": "drop"}})
    assert crossing(drops, writes=None, provider="x").messages == ASKED


def test_what_only_one_dialect_has_is_refused_or_left_out():
    own = Other(dialect="anthropic.messages", value={"type": "server_tool_use"})
    messages = (*ASKED, Message(role="assistant", parts=(own,)), Message(role="assistant", parts=(own, Text(text="y"))))
    with pytest.raises(Invalid, match="server_tool_use"):
        crossing(ChatRequest(model="m", messages=messages), writes="openai.chat", provider="x")
    drops = ChatRequest(model="m", messages=messages, params={"provider_options": {"unsupported": "drop"}})
    assert crossing(drops, writes="openai.chat", provider="x").messages == (*ASKED, Message.of("assistant", "y"))
    assert crossing(drops, writes="anthropic.messages", provider="x") is drops


def test_what_is_said_in_both_dialects_is_not_lost():
    both = {"openai.responses": {"tools": [1]}, "openai.chat": {"tools": [1]}}
    request = ChatRequest(model="m", messages=ASKED, extra=both)
    assert crossing(request, writes="openai.chat", provider="x") is request


def test_every_mistake_is_named_at_once():
    tool = ToolDefinition(name="t", extra={"anthropic.messages": {"context": 1}})
    extra = {"anthropic.messages": {"container": "c", "mcp_servers": []}}
    with pytest.raises(Invalid) as caught:
        crossing(ChatRequest(model="m", messages=ASKED, tools=(tool,), extra=extra), writes=None, provider="x")
    assert len(caught.value.problems) == 2
