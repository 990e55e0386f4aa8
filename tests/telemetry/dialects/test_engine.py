from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.dialects.reading import START_NS, all_of, event, leaves, read
from tidemill.telemetry.dialects import At, Dialect, Under, Whole, at, dialects
from tidemill.telemetry.dialects.messages import WORDS_OF_FORMS
from tidemill.telemetry.dialects.plan import make_plan
from tidemill.telemetry.otlp.raw import RawEvent
from tidemill.telemetry.row import encode_row

SOURCES = [source for each in dialects() for _slot, _name, source in each.sources]
KEYS = sorted(
    {source if isinstance(source, str) else source.key for source in SOURCES if isinstance(source, str | At)}
    | {key for source in SOURCES if isinstance(source, Whole) for key in source.keys}
)
PREFIXES = sorted({source.prefix for source in SOURCES if isinstance(source, Under)})
BELOW = [
    "0.message.role", "0.message.content", "0.role", "0.content", "1.content", "0.message.tool_calls.0.tool_call.function.name",
    "0.tool_calls.0.arguments", "0.document.content", "0.document.score", "0.message.contents.0.message_content.text", "0", "x",
    "0.tool.json_schema", "0.message.contents.0.message_content.image.image.url", "10.message.role", "..", "0.embedding.vector",
]  # fmt: skip
WORDS = st.sampled_from(["alpha", "beta gamma", "delta\nepsilon", "0", "12", "1.5", "true", "", "[", '{"a": 1}', '"q"', "user"])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 2**40), st.floats(allow_nan=False, allow_infinity=False), WORDS)
NAMES = st.sampled_from(
    (
        "role content parts type text tool_calls id name arguments function message messages input output "
        "kwargs finish_reason image_url url source data tool_call_id score document metadata prompt system "
        "choices event.name other tools reasoning summary response args page_content tool_call function_call "
        "call_id inline_data toolName vector embedding json_schema"
    ).split()
)
KINDS = st.sampled_from(
    (
        "user assistant tool system text tool_use tool_result image function_call function_call_output "
        "reasoning ai constructor message gen_ai.choice blob tool_call_response developer model"
    ).split()
)
VALUES = st.recursive(
    st.one_of(SCALARS, KINDS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(NAMES, inner, max_size=5),
        st.fixed_dictionaries({"role": KINDS, "content": inner}, optional={"tool_calls": inner, "id": inner}),
        st.fixed_dictionaries({"type": KINDS}, optional={"text": inner, "content": inner, "id": inner, "name": inner}),
        inner.map(json.dumps),
        inner.map(lambda value: json.dumps(json.dumps(value))),
    ),
    max_leaves=12,
)
ATTRIBUTES = st.dictionaries(
    st.one_of(
        st.sampled_from(KEYS),
        st.builds(lambda prefix, below: prefix + below, st.sampled_from(PREFIXES), st.sampled_from(BELOW)),
        st.sampled_from(["my.own", "http.method", "openinference.span.kind", "ai.operationId"]),
    ),
    VALUES,
    max_size=8,
)
DETAILS = "gen_ai.client.inference.operation.details"
EVENTS_OF = ["gen_ai.user.message", "gen_ai.choice", "exception", "db.query.result", DETAILS, "mine"]
EVENTS = st.lists(
    st.builds(
        lambda name, body, attributes: RawEvent(name=name, time_ns=START_NS, body=body, attributes=attributes),
        st.sampled_from(EVENTS_OF),
        VALUES,
        st.dictionaries(
            st.one_of(NAMES, st.sampled_from(["gen_ai.input.messages", "gen_ai.tool.definitions"])), VALUES, max_size=3
        ),
    ),
    max_size=3,
)


@settings(max_examples=200, deadline=None)
@given(attributes=ATTRIBUTES, events=EVENTS, scope=st.sampled_from(["", "mlflow", "ai", "pydantic-ai", "openinference.x"]))
def test_nothing_is_lost_and_nothing_raises(attributes, events, scope):
    before = json.dumps(attributes)
    record = read(attributes, events=events, scope=scope)
    assert json.dumps(attributes) == before
    said = set(leaves(attributes)) | set(leaves([[each.attributes, each.body] for each in events]))
    lost = {each for each in said - all_of(record) if each not in WORDS_OF_FORMS}
    assert not lost, lost
    row = json.loads(encode_row(record))
    assert isinstance(row["session"], str)
    assert isinstance(row["input_tokens"], int)


@pytest.mark.parametrize(
    "value", [7, True, None, [[[["x"]]]], {"a": {"b": [1]}}, "", "\x00", "[" * 2000, "{" * 5, "nul", 1e300]
)
def test_a_value_of_another_type_than_expected_stays_as_it_came(value):
    attributes = dict.fromkeys(KEYS, value) | {prefix + below: value for prefix in PREFIXES for below in BELOW}
    record = read(attributes)
    assert set(leaves(attributes)) <= all_of(record)
    encode_row(record)


def test_ten_thousand_messages_are_read():
    indexed = {}
    for n in range(10_000):
        indexed[f"llm.input_messages.{n}.message.role"] = "user"
        indexed[f"llm.input_messages.{n}.message.content"] = f"word {n}"
    record = read(indexed)
    assert [each["content"] for each in record.input["messages"]] == [f"word {n}" for n in range(10_000)]
    listed = json.dumps([{"role": "user", "content": f"word {n}"} for n in range(10_000)])
    assert len(read({"gen_ai.input.messages": listed}).input["messages"]) == 10_000


def test_deep_nesting_is_kept_as_it_came():
    deep = json.dumps("x")
    for _ in range(60):
        deep = f'[{{"role": "user", "content": {deep}}}]'
    record = read({"gen_ai.input.messages": deep, "gen_ai.prompt." + "0." * 500 + "content": "far below"})
    assert "x" in all_of(record)
    assert "far below" in all_of(record)


def test_a_span_of_no_dialect_is_kept_as_it_came():
    record = read({"http.method": "GET", "url.path": "/a"}, events=[event("retry", attempt=1)], status="ok", kind=2)
    assert (record.kind, record.dialect, record.status, record.input) == ("other", "", "ok", None)
    assert record.attributes == {"http.method": "GET", "url.path": "/a"}
    assert record.events[0]["name"] == "retry"
    assert record.service == "app"


def test_the_first_dialect_with_a_value_gives_the_field():
    record = read(
        {
            "openinference.span.kind": "AGENT",
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "from-gen-ai",
            "llm.token_count.prompt": "not a number",
            "gen_ai.usage.input_tokens": 12,
            "session.id": "s-1",
        }
    )
    assert (record.dialect, record.kind, record.model) == ("openinference", "agent", "from-gen-ai")
    assert (record.usage.input_tokens, record.session) == (12, "s-1")


def test_an_error_is_what_the_sender_says_of_it():
    failed = event("exception", **{"exception.type": "ValueError", "exception.message": "no such mill"})
    assert read(status="error", status_message="broken").error == "broken"
    assert read(status="error", events=[failed]).error == "no such mill"
    assert read({"error.type": "timeout"}, status="error").error == "timeout"
    noted = read(events=[failed])
    assert (noted.status, noted.error) == ("unset", None)
    assert len(read(status="error", status_message="x" * 9000).error) == 2000


def test_the_environment_comes_from_the_resource():
    assert read(resource={"deployment.environment.name": "production"}).attributes["tidemill.environment"] == "production"


def test_tokens_that_a_sender_counts_apart_are_added_up():
    usage = read(
        {"gen_ai.usage.input_tokens": 5, "gen_ai.usage.cache_read.input_tokens": 100, "gen_ai.usage.output_tokens": 2}
    ).usage
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (105, 100, 2)


def test_what_this_platform_writes_is_read_back():
    asked = '{"messages": [{"role": "user", "content": "hi"}]}'
    record = read(
        {
            "tidemill.kind": "llm",
            "tidemill.input": asked,
            "tidemill.output": '"yo"',
            "tidemill.tags": ["a"],
            "tidemill.cost": 0.5,
        }
    )
    assert record.input == {"messages": [{"role": "user", "content": "hi"}]}
    assert record.output == {"messages": [{"role": "assistant", "content": "yo"}]}
    assert (record.dialect, record.tags, record.cost) == ("tidemill", ("a",), 0.5)


def test_a_dialect_is_ten_lines_of_data():
    mill = Dialect(
        name="mill",
        keys=("mill.",),
        fields={"model": ("mill.model",), "input": at("mill.asked"), "gen_ai.request.temperature": ("mill.heat",)},
    )
    plan = make_plan([mill], "", ["mill.model", "mill.asked", "other"])
    assert plan.dialect == "mill"
    assert {step.name for steps in plan.fields for step in steps} == {"model", "input"}
    with pytest.raises(ValueError, match=r"fills colour"):
        Dialect(name="mill", fields={"colour": ("x",)})


def test_sources_that_two_fields_share_move_when_both_were_read():
    log = json.dumps(
        [
            {"event.name": "gen_ai.user.message", "role": "user", "content": "hi"},
            {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "yo"}},
        ]
    )
    assert "events" not in read({"events": log}, scope="pydantic-ai").attributes
    both = read({"events": log, "tidemill.output": "mine"}, scope="pydantic-ai")
    assert both.attributes["events"] == log
