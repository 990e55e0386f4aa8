"""Each rule of `kind: telemetry`, on whole spans."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.core.errors import Invalid
from tidemill.core.records import SpanRecord
from tidemill.store.blobs import Blobs
from tidemill.store.files import FilesFolder
from tidemill.telemetry.kinds import TelemetryKind
from tidemill.telemetry.row import encode_row
from tidemill.telemetry.rules import EMPTY, Rules, compile_rules
from tidemill.telemetry.rules.patterns import BUILT_IN

SECRETS = {
    "email": "ada.lovelace@example.com",
    "card": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
    "phone": "+49 170 1234567",
    "ip": "192.168.7.254",
    "ssn": "078-05-1120",
    "api_key": "sk-" + "proj-abcdefghijklmnop1234",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP",
    "private_key": "-----BEGIN " + "PRIVATE KEY-----",
}


def rules(tmp: Any = None, *, endpoints: dict[str, float] | None = None, **body: Any) -> Rules:
    spec = TelemetryKind().parse(body, files=FilesFolder({}, Blobs(tmp or __import__("pathlib").Path(), "p"))).spec
    return compile_rules(spec, key=lambda: b"k" * 32, endpoints=endpoints)


def span(**fields: Any) -> SpanRecord:
    base: dict[str, Any] = {
        "trace_id": "ab" * 16, "span_id": "cd" * 8, "parent_id": None, "name": "chat", "kind": "llm",
        "start_ns": 10**18, "end_ns": 10**18 + 1, "project": "p",
    }  # fmt: skip
    return SpanRecord(**{**base, **fields})


def kept(made: Rules, record: SpanRecord) -> SpanRecord:
    found = made.apply(record)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("written", "meant"), [("emial", "email"), ("e_mail", "email"), ("api_keys", "api_key"), ("cards", "card")]
)
def test_a_mistyped_name_is_not_taken_for_what_to_look_for(written: str, meant: str) -> None:
    with pytest.raises(Invalid, match=f"Did you mean {meant}"):
        rules(redact=[{"pattern": written}])
    assert rules(redact=[{"pattern": rf"\b{written}\b"}]).cleaner is not None
    assert rules(redact=[{"pattern": "zqxw"}]).cleaner is not None


def test_no_rules_give_back_the_same_span() -> None:
    record = span(input="x")
    assert EMPTY.apply(record) is record
    assert compile_rules(None, key=bytes) is EMPTY
    assert rules(retention={"spans": "30d"}).apply(record) is record


@pytest.mark.parametrize(("action", "shown"), [("mask", "call [email] now"), ("drop", None)])
def test_a_pattern_is_masked_or_takes_its_text_with_it(action: str, shown: str | None) -> None:
    made = rules(redact=[{"pattern": "email", "action": action}])
    assert kept(made, span(input="call ada@example.com now")).input == shown


def test_a_hash_is_stable_and_counts() -> None:
    made = rules(redact=[{"pattern": r"C-\d{6}", "name": "customer", "action": "hash"}])
    one, same, other = (kept(made, span(input=f"is {each}")).input for each in ("C-123456", "C-123456", "C-654321"))
    assert one == same != other
    assert isinstance(one, str)
    assert one.startswith("is [customer:")
    assert "123456" not in one


def test_a_replacement_is_taken() -> None:
    made = rules(redact=[{"pattern": "email", "replacement": "***"}])
    assert kept(made, span(output={"text": "to ada@example.com"})).output == {"text": "to ***"}


@pytest.mark.parametrize("action", ["mask", "hash", "drop"])
def test_a_place_by_its_path(action: str) -> None:
    made = rules(redact=[{"field": "input.messages.*.content", "action": action}])
    value = {"messages": [{"role": "user", "content": "private"}, {"role": "user", "content": [{"text": "private"}]}]}
    found = kept(made, span(input=value, output="public"))
    assert "private" not in str(found.input)
    assert "user" in str(found.input)
    assert found.output == "public"
    assert value["messages"][0]["content"] == "private"


def test_headers_go_whatever_their_case() -> None:
    made = rules(redact=[{"field": "attributes.http.request.header.*", "action": "drop"}])
    found = kept(made, span(attributes={"http.request.header.Authorization": ["x"], "http.method": "GET"}))
    assert found.attributes == {"http.method": "GET"}


def test_users_are_hashed_wherever_they_stand() -> None:
    made = rules(users="hash")
    record = span(
        user="ada", attributes={"enduser.id": "ada", "n": 1}, tags=("ada", "x"), events=({"name": "e", "user": "ada"},)
    )
    found = kept(made, record)
    assert found.user == made.user("ada")
    assert str(found.user).startswith("hash:")
    assert b'"ada"' not in encode_row(found)
    assert kept(made, span(user="ada")).user == found.user != kept(made, span(user="bob")).user


@pytest.mark.parametrize(
    "attributes",
    [
        {"user.id": "zoe"},
        {"enduser.id": "zoe"}, {"langfuse.user.id": "zoe"}, {"metadata": {"user_id": "zoe"}}, {"user": "zoe"},
        {"metadata": '{"user_id":"zoe"}'}, {"traceloop.association.properties.user_id": "zoe"}, {"user.email": "zoe"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("part", ["attributes", "resource", "events"])
def test_a_user_that_only_an_attribute_names_is_hashed_too(attributes: Any, part: str) -> None:
    made = rules(users="hash")
    found = kept(made, span(**{part: ({"name": "e", "attributes": attributes},) if part == "events" else attributes}))
    row = encode_row(found)
    assert b"zoe" not in row
    assert str(made.user("zoe")).encode() in row
    assert kept(made, found) == found


def test_what_names_no_user_stays() -> None:
    attributes = {"user_agent.original": "curl", "gen_ai.user.message": "ada", "usage": 3, "text": '{"user": '}
    assert kept(rules(users="hash"), span(attributes=attributes)).attributes == attributes


def test_a_user_in_which_a_rule_finds_something_can_still_be_counted() -> None:
    made = rules(redact=[{"pattern": "email"}])
    one, other = (kept(made, span(user=each)).user for each in ("ada@example.com", "bob@example.com"))
    assert one != other
    assert kept(made, span(user="ada@example.com")).user == one
    assert kept(made, span(user="ada")).user == "ada"


@pytest.mark.parametrize(
    ("capture", "record", "has"),
    [
        ("off", {}, False),
        ("on", {}, True),
        (0, {}, False),
        ({"default": "off", "endpoints": {"help": "on"}}, {"endpoint": "help"}, True),
        ({"default": "on", "kinds": {"tool": "off"}}, {"kind": "tool"}, False),
        ({"default": "on", "kinds": {"tool": "off"}}, {}, True),
    ],
)
def test_capture(capture: Any, record: Any, has: bool) -> None:
    made = rules(capture=capture)
    found = kept(made, span(**record, input="said", output="so", attributes={"gen_ai.prompt": "said", "n": 3}))
    assert (found.input == "said", found.output == "so", "gen_ai.prompt" in found.attributes) == (has, has, has)
    assert found.attributes["n"] == 3


def test_a_share_keeps_whole_traces() -> None:
    made = rules(capture=0.25)
    traces = [f"{number:032x}" for number in range(2000)]
    told = [kept(made, span(trace_id=each, input="x")).input is not None for each in traces]
    assert 400 < sum(told) < 600
    assert told == [kept(made, span(trace_id=each, input="x", span_id="12" * 8)).input is not None for each in traces]


def test_an_endpoint_narrows_and_never_widens() -> None:
    assert kept(rules(capture="on", endpoints={"help": 0.0}), span(endpoint="help", input="x")).input is None
    assert kept(rules(capture="off", endpoints={"help": 1.0}), span(endpoint="help", input="x")).input is None
    alone = compile_rules(None, key=bytes, endpoints={"help": 0.0})
    assert kept(alone, span(endpoint="help", input="x")).input is None
    assert kept(alone, span(endpoint="other", input="x")).input == "x"


def test_what_cannot_be_redacted_loses_its_content(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    made = rules(redact=[{"pattern": "email"}])

    class Odd(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("no")

    found = kept(made, span(input=Odd(a="ada@example.com"), attributes={"a": "ada@example.com"}))
    assert b"ada@" not in encode_row(found)
    assert "could not be redacted" in caplog.text


def test_json_inside_of_a_text_is_read_with_its_escapes() -> None:
    made = rules(redact=[{"pattern": "email"}])
    found = kept(made, span(attributes={"a": '{"to": "ada\\u0040example.com", "n": 1}'}))
    assert orjson.loads(str(found.attributes["a"])) == {"to": "[email]", "n": 1}


def test_a_number_that_is_a_card_is_found_and_others_stay() -> None:
    made = rules(redact=[{"pattern": "card"}])
    found = kept(made, span(input={"card": 4111111111111111, "at": 1763700000000000000, "n": 1.5}))
    assert found.input == {"card": "[card]", "at": 1763700000000000000, "n": 1.5}


PARTS = st.sampled_from(["input", "output", "name", "error", "user", "session", "tags", "attributes", "key", "events", "links",
                         "resource", "model", "service", "scope", "step", "finish_reasons", "deep", "inside"])  # fmt: skip
AROUND = st.sampled_from(["{}", "x {} y", '"{}"', "({})", "\n{}\t", "é {} ü", "{},"])


def planted(part: str, text: str) -> SpanRecord:
    where: dict[str, Any] = {
        "tags": {"tags": ("a", text)},
        "finish_reasons": {"finish_reasons": (text,)},
        "attributes": {"attributes": {"a.b": [text]}},
        "key": {"attributes": {text: 1}},
        "events": {"events": ({"name": "e", "attributes": {"x": text}},)},
        "links": {"links": ({"attributes": {"x": text}},)},
        "resource": {"resource": {"host": text}},
        "deep": {"input": {"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}},
        "inside": {"output": orjson.dumps(orjson.dumps({"q": text}).decode()).decode()},
    }
    return span(**where.get(part, {part: text}))


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(SECRETS)), part=PARTS, around=AROUND)
def test_no_planted_secret_reaches_a_row(name: str, part: str, around: str) -> None:
    made = rules(redact=[{"pattern": each} for each in BUILT_IN])
    record = planted(part, around.format(SECRETS[name]))
    assert SECRETS[name].encode() in encode_row(record).replace(b"\\", b"")
    assert SECRETS[name].encode() not in encode_row(kept(made, record)).replace(b"\\", b"")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"redact": [{}]}, "redact.0"),
        ({"redact": [{"pattern": "email", "field": "user"}]}, "redact.0"),
        ({"redact": [{"pattern": "(a"}]}, "redact.0.pattern"),
        ({"redact": [{"pattern": "(?<=a)b"}]}, "redact.0.pattern"),
        ({"redact": [{"field": "nothing.x"}]}, "redact.0.field"),
        ({"redact": [{"detector": "nose"}]}, "redact.0.detector"),
        ({"redact": [{"pattern": "email", "action": "burn"}]}, "redact.0.action"),
        ({"redact": [{"pattern": "email", "action": "drop", "replacement": "x"}]}, "redact.0"),
        ({"redact": [{"pattern": "email", "entities": ["PERSON"]}]}, "redact.0"),
        ({"capture": 2}, "capture.default"),
        ({"capture": "sometimes"}, "capture.default"),
        ({"capture": {"kinds": {"nose": 1}}}, "capture.kinds.nose.[key]"),
        ({"users": "lose"}, "users"),
        ({"retention": {"spans": "soon"}}, "retention"),
        ({"retention": {"spans": "1s"}}, "retention"),
        ({"retention": {"everything": "1d"}}, "retention"),
        ({"nothing": 1}, "nothing"),
    ],
)
def test_mistakes_are_named_with_their_place(body: Any, where: str) -> None:
    with pytest.raises(Invalid) as refused:
        rules(**body)
    assert [each.where for each in refused.value.problems] == [where]
