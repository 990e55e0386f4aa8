"""What must change the key of a request, and what must not."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calls import version
from tidemill.core.chat import ChatRequest, ToolDefinition
from tidemill.core.clock import Ids, SystemClock
from tidemill.core.parts import Image, Message, Text
from tidemill.models.cache.key import key_of
from tidemill.models.caller import CacheControl, Caller
from tidemill.models.calls import Call, RawRequest
from tidemill.telemetry import Recorder

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
MESSAGES = st.lists(st.builds(Message.of, st.sampled_from(["system", "user", "assistant"]), TEXTS), min_size=1, max_size=4)
REQUESTS = st.builds(
    lambda messages, params: ChatRequest(model="", messages=tuple(messages), params=params),
    MESSAGES,
    st.dictionaries(st.sampled_from(["temperature", "seed", "stop", "n", "top_p"]), VALUES, max_size=3),
)
CALLER = Caller(project="p", environment="local", key="k", user="u")
RECORDER = Recorder(lambda _: None, ids=Ids(clock=SystemClock()), clock=SystemClock())


def key(request: ChatRequest, *, caller=CALLER, model=None, raw=None, share="user", operation="chat"):
    call = Call(
        operation=operation, model=model or version(), caller=caller, span=RECORDER.trace("t", kind="llm", project="p"),
        started=0.0, request=request, raw=raw,
    )  # fmt: skip
    return key_of(call, request, share=share, with_context=True)


def with_params(request, **more):
    return ChatRequest(model="", messages=request.messages, params={**request.params, **more})


@given(REQUESTS, st.randoms())
def test_the_order_of_fields_does_not_matter(request, random):
    names = list(request.params)
    random.shuffle(names)
    again = ChatRequest(model="other", messages=request.messages, params={name: request.params[name] for name in names})
    assert key(again) == key(request)


@given(REQUESTS, TEXTS)
def test_who_asks_how_fast_and_what_is_left_out_does_not_matter(request, text):
    same = with_params(request, user=text, metadata={"a": text}, service_tier=text, store=True, logit_bias=None)
    assert key(same).exact == key(request).exact
    other = msgspec.structs.replace(CALLER, session=text, priority=-1, tags={"a": text}, headers={"a": text}, deadline=3.0)
    assert key(request, caller=other).exact == key(request).exact


@given(REQUESTS, st.sampled_from(["temperature", "seed", "stop", "n", "top_p", "frequency_penalty", "anything"]), VALUES)
def test_every_parameter_that_changes_the_answer_changes_the_key(request, name, value):
    changed = with_params(request, **{name: value})
    same = value == request.params.get(name) and type(value) is type(request.params.get(name))
    if value is None and request.params.get(name) is None:
        assert key(changed).exact == key(request).exact
    elif not same and value != request.params.get(name):
        assert key(changed).exact != key(request).exact


@given(REQUESTS, MESSAGES)
def test_other_messages_have_another_key(request, messages):
    other = ChatRequest(model="", messages=tuple(messages), params=request.params)
    assert (key(other).exact == key(request).exact) == (other.messages == request.messages)


@given(REQUESTS)
def test_whose_it_is_where_and_of_which_model_changes_the_key(request):
    base = key(request).exact
    for name in ("user", "key", "environment"):
        assert key(request, caller=msgspec.structs.replace(CALLER, **{name: "other"})).exact != base
    apart = msgspec.structs.replace(CALLER, cache=CacheControl(namespace="mine"))
    assert key(request, caller=apart).exact != base
    assert key(request, operation="completions").exact != base
    digest = f"sha256:{'1' * 64}"
    model = version()
    other = type(model)(project="p", kind="model", name="m", number=2, digest=digest, spec={})
    assert key(request, model=other).exact != base


@pytest.mark.parametrize(("share", "same"), [("user", (False, False)), ("key", (True, False)), ("project", (True, True))])
def test_who_shares_answers_is_what_the_document_says(share, same):
    request = ChatRequest(model="", messages=(Message.of("user", "hi"),))
    user = key(request, caller=msgspec.structs.replace(CALLER, user="v"), share=share) == key(request, share=share)
    whose = key(request, caller=msgspec.structs.replace(CALLER, key="l"), share=share) == key(request, share=share)
    assert (user, whose) == same


@given(REQUESTS, TEXTS)
def test_the_last_question_alone_leaves_the_context(request, text):
    messages = (*request.messages, Message.of("user", f"{text}?"))
    asked = ChatRequest(model="", messages=messages, params=request.params)
    other = ChatRequest(model="", messages=(*request.messages, Message.of("user", f"{text}!")), params=request.params)
    assert key(asked).context == key(other).context is not None
    assert key(asked).exact != key(other).exact
    assert key(with_params(asked, temperature=0.123)).context != key(asked).context


def test_tools_schema_pictures_and_other_fields_of_a_dialect_count():
    plain = ChatRequest(model="", messages=(Message.of("user", "hi"),))
    message = Message(role="user", parts=(Text(text="hi"), Image(media_type="image/png", url="https://example.org/a.png")))
    others = [
        ChatRequest(model="", messages=plain.messages, tools=(ToolDefinition(name="a"),)),
        ChatRequest(model="", messages=plain.messages, tools=(ToolDefinition(name="a", description="b"),)),
        ChatRequest(model="", messages=plain.messages, tools=(ToolDefinition(name="a"),), tool_choice="required"),
        ChatRequest(model="", messages=plain.messages, output_schema={"type": "object"}),
        ChatRequest(model="", messages=plain.messages, extra={"openai.chat": {"web_search_options": {}}}),
        ChatRequest(model="", messages=(message,)),
    ]
    assert len({key(each).exact for each in (plain, *others)}) == 1 + len(others)
    assert key(others[-1]).context is None


def test_marks_of_a_providers_own_cache_do_not_count():
    mark = {"anthropic.messages": {"cache_control": {"type": "ephemeral"}}}
    marked = ChatRequest(model="", messages=(Message(role="user", parts=(Text(text="hi", extra=mark),)),), extra=mark)
    assert key(marked).exact == key(ChatRequest(model="", messages=(Message.of("user", "hi"),))).exact


def test_a_beta_of_the_dialect_counts_and_the_clients_own_id_does_not():
    request = ChatRequest(model="", messages=(Message.of("user", "hi"),))

    def raw(**headers):
        return RawRequest(dialect="anthropic.messages", body=b"{}", fields={}, headers=headers)

    assert key(request, raw=raw(**{"idempotency-key": "1"})) == key(request, raw=raw())
    assert key(request, raw=raw(**{"anthropic-beta": "x"})) != key(request, raw=raw())


def test_what_no_json_can_carry_has_no_key():
    asked = ChatRequest(model="", messages=(Message.of("user", "hi"),), params={"seed": 2**60})
    assert key(asked) is None
