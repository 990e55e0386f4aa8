"""Marks for the provider's own cache of prompts, in what is sent."""

from __future__ import annotations

from models.calls import ask
from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.json import dump_json
from tidemill.core.parts import Message, Text
from tidemill.models.providers.anthropic_hints import with_marks
from tidemill.models.providers.anthropic_requests import write_request

LONG = "The tide turns at the mill. " * 300


def marks(request):
    body = with_marks(write_request(request))
    return body, dump_json(body).count(b'"cache_control"')


def talk(*texts, system=LONG, **more):
    roles = ("user", "assistant")
    turns = [Message.of(roles[place % 2], text) for place, text in enumerate(texts)]
    return ChatRequest(model="claude-sonnet-4-5", messages=(Message.of("system", system), *turns), **more)


def test_what_is_short_is_sent_as_it_is():
    body, count = marks(ask("when?"))
    assert count == 0
    assert body == write_request(ask("when?"))


def test_the_system_text_the_tools_and_the_last_questions_are_marked_at_most_four_times():
    tools = (ToolDefinition(name="tide", description=LONG), ToolDefinition(name="mill", description=LONG))
    body, count = marks(talk("when?", "at three", "and then?", "at nine", "and then?", tools=tools))
    assert count == 4
    assert "cache_control" in body["tools"][-1]
    assert "cache_control" in body["system"][-1]
    asked = [turn for turn in body["messages"] if turn["role"] == "user"]
    assert ["cache_control" in turn["content"][-1] for turn in asked] == [False, True, True]


def test_of_a_single_question_what_stands_before_it_is_marked():
    body, count = marks(talk("when?"))
    assert (count, "cache_control" in body["system"][-1]) == (1, True)


def test_a_long_single_question_alone_is_not_marked():
    assert marks(ask(LONG))[1] == 0


def test_what_its_author_marked_is_left():
    mark = {"anthropic.messages": {"cache_control": {"type": "ephemeral", "ttl": "1h"}}}
    own = Message(role="user", parts=(Text(text="when?", extra=mark),))
    request = ChatRequest(model="m", messages=(Message.of("system", LONG), own))
    body, count = marks(request)
    assert count == 1
    assert body["messages"][0]["content"][-1]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
