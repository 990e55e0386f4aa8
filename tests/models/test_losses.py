"""What one dialect says and another cannot: refused where it changes the answer, else left out."""

import pytest
from msgspec.structs import replace

from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.errors import Invalid
from tidemill.core.parts import Message, Other, Text
from tidemill.models.losses import LOSSES, crossing
from tidemill.serve.chat_request import read_chat_call

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


def test_a_custom_tool_is_refused_across_dialects_or_left_out_as_the_model_says():
    """As the door reads it: a tool of its own kind, the choice of it, and a call of it earlier in the conversation."""
    custom = {"type": "custom", "custom": {"name": "sql", "description": "runs SQL"}}
    call = {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    body = {
        "model": "model/m", "tools": [custom], "tool_choice": {"type": "custom", "custom": {"name": "sql"}},
        "messages": [
            {"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
        ],
    }  # fmt: skip
    read = read_chat_call(body)
    request = ChatRequest(model="m", messages=read.messages, tools=read.tools, extra=read.extra)
    assert crossing(request, writes="openai.chat", provider="x") is request
    with pytest.raises(Invalid, match="x has no tool_choice: allowed tools") as refused:
        crossing(request, writes="anthropic.messages", provider="x")
    said = [refused.value.message, *(each.message for each in refused.value.problems)]
    assert [each.partition(": ")[0].rpartition(" ")[2] for each in said] == ["tool_choice", "tools", "type"]
    assert "unsupported: drop" in refused.value.hint
    drops = replace(request, params={"provider_options": {"unsupported": "drop"}})
    crossing(drops, writes="anthropic.messages", provider="x")


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
