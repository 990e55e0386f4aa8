"""What each writer has a place for, and what the table says that it has not."""

import json
import sys
from pathlib import Path

import pytest

from tidemill.core.chat import ChatDelta, Choice, TokenLogprob, ToolCallDelta, Usage
from tidemill.core.parts import Image, Message, Other, Reasoning, Refusal, Text, ToolCall
from tidemill.serve.chat_response import Answer
from tidemill.serve.dialects.dialect import Head
from tidemill.serve.dialects.doors import CHAT_DIALECTS
from tidemill.serve.dialects.places import NO_PLACE

ROOT = Path(__file__).resolve().parents[2]
HEAD = Head(id="id", trace="t", model="model/m", release="sha256:0", created=1)
SAID = {
    "text": Text(text="words of the answer"),
    "refusals": Refusal(text="words of a refusal"),
    "thoughts": Reasoning(text="words of a thought", signature="c2VhbA=="),
    "tool calls": ToolCall(id="call_7", name="clock", arguments='{"zone": "CET"}'),
    "pictures and sound": Image(media_type="image/png", data="cGljdHVyZQ=="),
    "blocks of anthropic.messages": Other(dialect="anthropic.messages", value={"type": "server_tool_use", "id": "only-there"}),
    "items of openai.responses": Other(dialect="openai.responses", value={"type": "web_search_call", "id": "only-there"}),
}
MARKS = {
    "text": "words of the answer", "refusals": "words of a refusal", "thoughts": "words of a thought", "tool calls": "call_7",
    "pictures and sound": "cGljdHVyZQ==", "blocks of anthropic.messages": "only-there",
    "items of openai.responses": "only-there",
}  # fmt: skip
ASKED = {
    "/v1/messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]},
    "/v1/responses": {"model": "m", "input": "x"},
    "/v1/completions": {"model": "m", "prompt": "x"},
    "/v1/chat/completions": {"model": "m", "messages": [{"role": "user", "content": "x"}]},
}


def writer(path):
    dialect = CHAT_DIALECTS[path]
    return dialect.writer(HEAD, dialect.read(ASKED[path]))


def as_delta(part):
    """As a stream brings it."""
    match part:
        case Text():
            return ChatDelta(text=part.text)
        case Refusal():
            return ChatDelta(refusal=part.text)
        case Reasoning():
            return ChatDelta(reasoning=part.text)
        case ToolCall():
            return ChatDelta(tool_call=ToolCallDelta(index=0, id=part.id, name=part.name, arguments=part.arguments))
        case _:
            return ChatDelta(part=part)


@pytest.mark.parametrize("path", [each for each in ASKED if CHAT_DIALECTS[each].name in NO_PLACE])
def test_the_table_says_what_has_no_place_and_no_more(path):
    lost = NO_PLACE[CHAT_DIALECTS[path].name]
    alike = {"blocks of anthropic.messages", "items of openai.responses"} if "what only one dialect has" in lost else set()
    for name, part in SAID.items():
        words = part.text if isinstance(part, Text | Refusal) else ""
        answer = Answer(text=words, parts=(part,), tool_calls=(part,) if isinstance(part, ToolCall) else ())
        whole = json.dumps(writer(path).whole(answer))
        streaming = writer(path)
        stream = (streaming.begin() + streaming.piece(as_delta(part)) + streaming.end(answer)).decode()
        wanted = name not in lost and name not in alike
        assert (MARKS[name] in whole, MARKS[name] in stream) == (wanted, wanted), (path, name)


@pytest.mark.parametrize("path", [each for each in ASKED if CHAT_DIALECTS[each].name in NO_PLACE])
def test_several_answers_and_log_probabilities_are_where_the_table_says(path):
    lost = NO_PLACE[CHAT_DIALECTS[path].name]
    other = Choice(index=1, message=Message.of("assistant", "another answer"))
    logprob = TokenLogprob(token="high", logprob=-0.1234)
    answer = Answer(text="high", parts=(Text(text="high"),), others=(other,), logprobs=(logprob,), usage=Usage(output_tokens=1))
    whole = json.dumps(writer(path).whole(answer))
    assert ("another answer" in whole) == ("answers after the first" not in lost)
    assert ("-0.1234" in whole) == ("log probabilities" not in lost)


def test_a_sealed_thought_comes_back_as_it_was_given():
    """Through `/v1/responses`, where the seal is in `encrypted_content`."""
    for thought in (Reasoning(text="because", signature="c2VhbA=="), Reasoning(data="b3BhcXVl")):
        written = writer("/v1/responses").whole(Answer(text="", parts=(thought, Text(text="so"))))
        again = CHAT_DIALECTS["/v1/responses"].read({"model": "m", "input": written["output"]})
        found = again.messages[0].parts[0]
        assert (found.text, found.signature, found.data) == (thought.text, thought.signature, thought.data)


def test_calls_whose_pieces_are_mixed_up_are_whole_at_the_end():
    streaming = writer("/v1/responses")
    pieces = [(0, "a", '{"x":'), (1, "b", '{"y":'), (0, None, "1}"), (1, None, "2}")]
    events = streaming.begin()
    for index, name, arguments in pieces:
        call = ToolCallDelta(index=index, id=name and f"call_{name}", name=name, arguments=arguments)
        events += streaming.piece(ChatDelta(tool_call=call))
    events += streaming.end(Answer(text=""))
    last = json.loads(events.decode().rstrip().rsplit("data: ", 1)[1])
    assert [each["arguments"] for each in last["response"]["output"]] == ['{"x":1}', '{"y":2}']


def test_the_tables_of_the_page_are_current():
    sys.path.insert(0, str(ROOT / "scripts"))
    import wire_table

    assert wire_table.page() == wire_table.PAGE.read_text("utf-8"), "run scripts/wire_table.py"
