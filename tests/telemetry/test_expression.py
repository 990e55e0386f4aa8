"""The expression: what it reads, what it refuses, that its SQL never takes a value into its text, and that memory agrees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.spans import START_NS, make_span
from tidemill.core.errors import Invalid
from tidemill.telemetry.expression import (
    COLUMNS,
    EVERYTHING,
    And,
    Condition,
    Key,
    Not,
    Or,
    Where,
    bounds_of,
    compile_spans,
    compile_traces,
    format_expression,
    matches,
    parse,
    replace_values,
    values_of,
)
from tidemill.telemetry.expression.keys import key_table

NOW_NS = 1_800_000_000_000_000_000
READ = {
    'model = "x" and latency > 2s and tag.env = "prod" and output ~ "refund" and score.groundedness < 0.5':
        'model = "x" and duration > 2s and tag.env = "prod" and output ~ "refund" and score.groundedness < 0.5',
    'status=error duration_ms>500 "context manager"': 'status = "error" and duration > 500ms and text ~ "context manager"',
    "endpoint=x release=sha256:ff endpoint!=": 'endpoint = "x" and release = "sha256:ff" and endpoint != ""',
    "endpoint!= model=x": 'endpoint != "" and model = "x"',
    "endpoint!= and model=x": 'endpoint != "" and model = "x"',
    "a or b and not (c d)": 'text ~ "a" or (text ~ "b" and not (text ~ "c" and text ~ "d"))',
    "A AND NOT B": 'text ~ "A" and not text ~ "B"',
    "kind in (llm, 'tool') or ttft exists": 'kind in ("llm", "tool") or first_token exists',
    "user not in (a,b)": 'user not in ("a", "b")',
    "tags has b tag = c": 'tag has "b" and tag = "c"',
    'attr."odd key" = 7 gen_ai.request.temperature > 0.5': 'attr."odd key" = 7 and gen_ai.request.temperature > 0.5',
    'resource.service.version = "1" attr.plain exists': 'resource.service.version = "1" and attr."plain" exists',
    "cost > $0.01 tokens >= 10k input_tokens<1,000": "cost > 0.01 and tokens >= 10000 and input_tokens < 1000",
    "latency >= 1.5s latency < 2m ttft <= 250us": "duration >= 1500ms and duration < 2m and first_token <= 250us",
    "feedback = up feedback.helpful < 3": 'feedback = "up" and feedback.helpful < 3',
    "start >= 2026-01-31 start < 2026-02-01T02:00+02:00":
        "start >= 2026-01-31T00:00:00.000000Z and start < 2026-02-01T00:00:00.000000Z",
    "start > 2h": "start > 2027-01-15T06:00:00.000000Z",
    "don't panic C++": 'text ~ "don\'t" and text ~ "panic" and text ~ "C++"',
    "name has x has exists": 'name has "x" and text ~ "has" and text ~ "exists"',
    r'name = "say \"hi\" \\ \n"': r'name = "say \"hi\" \\ \\n"',
    "name !~ draft and error ~ 'time out'": 'name !~ "draft" and error ~ "time out"',
    "": "",
    "  ": "",
}  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_an_expression_is_read_and_written(text):
    found = parse(text, now_ns=NOW_NS)
    assert format_expression(found) == READ[text]
    assert parse(READ[text]) == found


WRONG = {
    "statsu = error": ("unknown filter key 'statsu'", "at 1: ▸statsu", "Did you mean status?"),
    "model = x and latncy > 2s": ("unknown filter key 'latncy'", "at 15: model = x and ▸latncy", "Did you mean latency?"),
    "status = eror": ("status is never 'eror'", "at 10", "Did you mean error?"),
    "cost > much": ("cost needs a number, not 'much'", "at 8", "cost > 100"),
    "cost > nan": ("finite number", "at 8", ""),
    "cost > 1e999": ("finite number", "at 8", ""),
    "status > ok": ("'status' cannot be compared by >", "at 8", "status=VALUE"),
    "latency ~ 2s": ("'latency' cannot be compared by ~", "at 9", "numbers"),
    "latency > 2": ("latency needs a unit after '2'", "at 11", "2s or 800ms"),
    "latency > soon": ("latency needs a length of time", "at 11", "2s or 800ms"),
    "start > yesterday": ("start needs a time", "at 9", "2h for so long ago"),
    "start > 0001-01-01": ("between the years", "at 9", ""),
    '"open': ("open quote", "at 1", "Close it"),
    "name = 'open": ("open quote", "at 8", "Close it"),
    "(a or b": ("this bracket is not closed", "at 1", "Close it"),
    "a)": ("')' has nothing that it belongs to", "at 2", "no ("),
    "model in (a, b": ("this list is not closed", "at 10", "model in (a, b)"),
    "model in ()": ("a list holds values", "at 11", ""),
    "model =": ("model = needs a value", "at 8", "model = VALUE"),
    "= x": ("'=' has nothing that it belongs to", "at 1", ""),
    "1 = 1": ("'1' is no key", "at 1", "quotes"),
    "a and": ("the filter ends", "at 6", "for example"),
    "or a": ("'or' has nothing before it", "at 1", ""),
    "not": ("the filter ends", "at 4", ""),
    "name ~ ''": ("name ~ needs words", "at 8", ""),
    'name = "a\0b"': ("NUL", "at 10", ""),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_expression_says_what_where_and_what_to_write(text):
    message, where, hint = WRONG[text]
    with pytest.raises(Invalid) as caught:
        parse(text, now_ns=NOW_NS)
    assert message in caught.value.message
    assert where in caught.value.where
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "text",
    ["(" * 41 + "a" + ")" * 41, "not " * 50 + "a", "a " * 201, "x" * 8001, f"model in ({', '.join(['a'] * 1001)})", "(" * 7000],
)
def test_what_is_too_much_is_refused(text):
    with pytest.raises(Invalid):
        parse(text)


def test_what_a_caller_resolves_is_replaced():
    found = parse("release = handbook@production or release in (a, sha256:ff) and name = handbook@production")
    assert values_of(found, "release") == ["handbook@production", "a", "sha256:ff"]
    replaced = replace_values(found, "release", {"handbook@production": "sha256:11"})
    assert format_expression(replaced) == (
        'release = "sha256:11" or (release in ("a", "sha256:ff") and name = "handbook@production")'
    )


def test_bounds_are_known_where_they_hold_for_all():
    assert bounds_of(parse("start >= 2026-01-01 and start < 2026-01-02 and a")) == (
        1_767_225_600_000_000_000, 1_767_312_000_000_000_001,
    )  # fmt: skip
    assert bounds_of(parse("start >= 2026-01-01 or a")) == (None, None)


VALUES = {
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
    "number": st.floats(-1e12, 1e12).map(lambda each: round(each, 6) + 0.0),
    "duration": st.integers(0, 10**17),
    "time": st.integers(0, 2**60).map(lambda each: each // 1000 * 1000),
}
VALUES |= {"list": VALUES["text"], "any": st.one_of(VALUES["text"], VALUES["number"])}
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
KEYS = st.one_of(
    st.sampled_from([Key("column", each.name, each.type) for each in COLUMNS.values() if not each.values]),
    st.builds(Key, st.just("tag"), NAMES, st.just("text")),
    st.builds(Key, st.just("score"), NAMES, st.just("number")),
    st.builds(Key, st.just("feedback"), st.one_of(st.just(""), NAMES), st.just("any")),
    st.builds(Key, st.sampled_from(["attribute", "resource"]), NAMES, st.just("any")),
)
OPERATORS = {
    "text": ["=", "!=", "~", "!~", "in", "not in", "exists", "has"], "list": ["=", "!=", "in", "not in", "exists", "has"],
    "any": ["=", "!=", "<", ">=", "~", "in", "exists", "has"],
    **{kind: ["=", "!=", "<", "<=", ">", ">=", "in", "not in", "exists"] for kind in ("number", "duration", "time")},
}  # fmt: skip


@st.composite
def conditions(draw):
    key = draw(KEYS)
    operator = draw(st.sampled_from(OPERATORS[key.type]))
    if operator == "exists":
        return Condition(key, operator)
    values = VALUES["number"] if key.type == "any" and operator in {"<", ">="} else VALUES[key.type]
    if operator in {"~", "!~"}:
        values = VALUES["text"].filter(str.strip)
    elif operator == "has":
        values = VALUES["text"]
    if operator in {"in", "not in"}:
        return Condition(key, operator, tuple(draw(st.lists(values, min_size=1, max_size=3))))
    return Condition(key, operator, (draw(values),))


EXPRESSIONS = st.recursive(
    conditions(),
    lambda parts: st.one_of(
        st.lists(parts, min_size=2, max_size=3).map(tuple).map(And),
        st.lists(parts, min_size=2, max_size=3).map(tuple).map(Or),
        st.builds(Not, parts),
    ),
    max_leaves=6,
)


@given(EXPRESSIONS)
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_as_it_was(expression):
    assert parse(format_expression(expression)) == expression


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text):
    try:
        found = parse(text, now_ns=NOW_NS)
    except Invalid:
        return
    assert parse(format_expression(found)) == found


def shape(expression, compiling):
    where = Where()
    compiling(expression, where, project="p")
    return re.sub(r"\{v\d+:", "{:", where.sql)


def plain(expression):
    """The same with harmless names and values of the same kind, that have as many words."""
    match expression:
        case And(parts):
            return And(tuple(map(plain, parts)))
        case Or(parts):
            return Or(tuple(map(plain, parts)))
        case Not(part):
            return Not(plain(part))
        case Condition(key, operator, values):
            own = key if key.scope == "column" or not key.name else Key(key.scope, "n", key.type)
            kept = operator in {"~", "!~"} or values == ("",)
            return Condition(own, operator, values if kept else tuple("x" if isinstance(each, str) else 1 for each in values))


@given(EXPRESSIONS)
@settings(max_examples=300, deadline=None)
@pytest.mark.parametrize("compiling", [compile_spans, compile_traces])
def test_no_value_and_no_key_changes_the_shape_of_the_sql(compiling, expression):
    assert shape(expression, compiling) == shape(plain(expression), compiling)


@given(NAMES.filter(lambda each: len(each) > 3), st.sampled_from(["=", "~", "has", "in"]))
@settings(max_examples=200, deadline=None)
def test_what_is_looked_for_is_bound_and_never_in_the_text(text, operator):
    for key in ("name", "tag.k", "attr.k", "output", "feedback"):
        given_value = f"({format_expression(Condition(Key('column', 'name', 'text'), '=', (text,)))[7:]})"
        written = f"{key} {operator} {given_value if operator == 'in' else given_value[1:-1]}"
        try:
            expression = parse(written)
        except Invalid:
            continue
        where = Where()
        compile_spans(expression, where, project="p")
        marked = Where()
        compile_spans(parse(written.replace(given_value[1:-1], '"x"')), marked, project="p")
        assert operator == "~" or where.sql == marked.sql


RECORD = make_span(
    1, name="answer", kind="llm", status="error", error="it timed out", model="m-1", cost=0.02, tokens_in=900, tokens_out=100,
    tags=("env=prod", "team:red", "plain"), user="ana", end_ns=START_NS + 3_000_000_000, first_token_ns=400_000_000,
    input={"messages": [{"role": "user", "content": "My Refund?"}]}, output="über\nalles",
    attributes={"gen_ai.request.temperature": 0.7, "flag": True, "text": "7", "odd key": "x"},
    resource={"service.version": "1.2"},
)  # fmt: skip
MATCHES = {
    "": True,
    "kind = llm and status = error": True,
    "model in (m-0, m-1) and not model = m-2": True,
    "latency > 2s and latency < 4s": True,
    "ttft <= 400ms and ttft exists": True,
    "cost > $0.01 and tokens = 1k": True,
    "cost > $0.02": False,
    "tag.env = prod and tag.team = red and tag = plain": True,
    "tag.env != prod": False,
    "tag.env in (test)": False,
    "tag.other exists": False,
    "tag.env ~ prod and tag.env has ro": True,
    "input ~ refund": True,
    "input ~ refun": False,
    "output ~ ÜBER": True,
    "output ~ alles": True,
    "refund timed": True,
    "error has 'timed out' and error !~ refund": True,
    "user = ana and session = '' and (user!=)": True,
    "gen_ai.request.temperature > 0.5 and gen_ai.request.temperature = 0.7": True,
    "attr.flag = true and attr.text = 7 and attr.text = '7'": True,
    'attr."odd key" exists and attr.missing != 1': True,
    "attr.missing > 0": False,
    "resource.service.version = '1.2'": True,
    "release = '' and (release!=)": False,
    "weight = 1 and input_tokens in (900, 1)": True,
    "start > 2026-01-01 and start < 2027-01-01": True,
    "not (cost < 1 or attr.missing > 0)": False,
    "name = 'answer' or nothing": True,
}


@pytest.mark.parametrize("text", MATCHES)
def test_a_span_in_memory(text):
    assert matches(parse(text), RECORD) is MATCHES[text]


def test_scores_and_feedback_of_a_span_in_memory():
    scores, feedback = {"groundedness": [0.4, 0.9]}, {"thumbs": ["down"], "helpful": [2.0]}
    for text, expected in {
        "score.groundedness < 0.5": True, "score.groundedness > 0.95": False, "score.other < 1": False,
        "not score.other exists": True, "feedback = down": True, "feedback = up": False, "feedback.helpful = 2": True,
        "feedback exists and feedback != up": True,
    }.items():  # fmt: skip
        assert matches(parse(text), RECORD, scores=scores, feedback=feedback) is expected, text
    assert not matches(parse("score.groundedness < 0.5"), RECORD)
    assert matches(EVERYTHING, RECORD)


def test_the_reference_has_every_key():
    page = (Path(__file__).parents[2] / "docs/reference/filters.md").read_text("utf-8")
    assert key_table() in page
