"""LangSmith, MLflow, Phoenix and the SDKs' own spans: recorded here, of the shared data, or made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from telemetry.dialects.reading import shared
from tidemill.core.errors import Invalid
from tidemill.telemetry.dialects import read_span
from tidemill.telemetry.exports import read

RECORDED = Path(__file__).parent / "recorded"


def records(content, **options):
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    return [read_span(each, project="p") for each in read(content, name="a.json", project="p", **options).spans]


def recorded(name):
    return (RECORDED / f"{name}.json").read_bytes()


def assert_tree(made, roots=1):
    ids = {each.span_id for each in made}
    assert len(ids) == len(made)
    assert [each.parent_id for each in made if each.parent_id not in ids] == [None] * roots


# LangSmith


def test_what_langsmiths_sdk_posts_is_the_trace_that_it_would_send_as_spans():
    made = records(recorded("langsmith_export"))
    assert_tree(made)
    assert len({each.trace_id for each in made}) == 1
    assert all(
        (each.dialect, each.user, each.session, each.tags) == ("langsmith", "user-1", "session-1", ("demo",)) for each in made
    )
    by_name = {each.name: each for each in made}
    assert by_name["answer"].output == "It is 18 degrees in Paris."
    assert by_name["find"].output[0]["text"] == "Paris is in France."
    assert (by_name["get_weather"].kind, by_name["get_weather"].output) == ("tool", "18 degrees in Paris")
    calls = [each for each in made if each.kind == "llm"]
    asked = next(each for each in calls if each.finish_reasons == ("tool_calls",))
    assert (asked.model, asked.provider, asked.usage.input_tokens, asked.usage.output_tokens) == ("model/tide", "openai", 6, 1)
    assert asked.input["tools"][0]["name"] == "get_weather"
    assert asked.output["messages"][0]["tool_calls"][0]["arguments"] == '{"city":"Paris"}'
    assert any(each.first_token_ns for each in calls)
    (failed,) = [each for each in calls if each.status == "error"]
    assert "the script says so" in failed.error
    assert "Traceback" not in failed.error


def test_runs_a_line_and_within_their_parents_are_the_same_as_in_batches():
    batches = json.loads(recorded("langsmith_export"))
    runs = {}
    for run in (*batches["post"], *batches["patch"]):
        runs.setdefault(run["id"], {}).update({key: each for key, each in run.items() if each is not None})
    lines = "\n".join(json.dumps(each) for each in runs.values()).encode()
    ids = {(each.trace_id, each.span_id, each.parent_id) for each in records(recorded("langsmith_export"))}
    assert {(each.trace_id, each.span_id, each.parent_id) for each in records(lines)} == ids
    nested = {key: {**each, "child_runs": []} for key, each in runs.items()}
    for run in nested.values():
        if run.get("parent_run_id") in nested:
            nested[run["parent_run_id"]]["child_runs"].append(run)
    root = next(each for each in nested.values() if not each.get("parent_run_id"))
    assert {(each.trace_id, each.span_id, each.parent_id) for each in records(root)} == ids


@pytest.mark.parametrize("name", ["wrap_openai_stream", "wrap_openai_stream_no usage"])
def test_langsmiths_batches_of_the_shared_data(name):
    content = shared("otel_spans", "files", f"langsmith-sdk__langsmith_js_{name}.json").read_bytes()
    (made,) = records(content)
    assert (made.kind, made.model, made.provider, made.status) == ("llm", "gpt-4o-mini", "openai", "ok")
    assert made.input["messages"] == [{"role": "user", "content": "howdy"}]
    assert made.output["messages"][0]["content"] == "Howdy! How can I assist you today?"
    assert made.usage.input_tokens == (9 if name == "wrap_openai_stream" else 0)
    assert (made.end_ns - made.start_ns) // 10**6 in (854, 493)
    assert made.trace_id == made.attributes["tidemill.import.trace_id"].replace("-", "")


def test_a_langsmith_file_that_is_no_run_says_so():
    content = shared("otel_spans", "files", "langsmith-sdk__anthropic_managed_builtin_tools.jsonl").read_bytes()
    with pytest.raises(Invalid, match="line 1 is a list"):
        read(content, name="a.jsonl", project="p")


# MLflow


def test_mlflows_traces_keep_their_ids_people_and_documents():
    made = records(recorded("mlflow_export"))
    assert_tree(made, roots=2)
    agent = next(each for each in made if each.kind == "agent")
    inside = [each for each in made if each.trace_id == agent.trace_id]
    document = json.loads(recorded("mlflow_export"))
    assert {f"tr-{each.trace_id}" for each in made} == {each["info"]["trace_id"] for each in document}
    assert all((each.user, each.session) == ("user-1", "session-1") for each in inside)
    assert agent.attributes["mlflow.trace.tags.topic"] == "weather"
    (found,) = [each for each in inside if each.kind == "retriever"]
    assert (found.output[0]["id"], found.output[0]["text"]) == ("d1", "Paris is in France.")
    calls = [each for each in inside if each.kind == "llm"]
    assert [(each.model, each.usage.input_tokens, each.usage.output_tokens) for each in calls] == [
        ("model/tide", 6, 1), ("model/tide", 10, 6),
    ]  # fmt: skip
    assert calls[1].output["messages"][0]["content"] == "It is 18 degrees in Paris."
    (failed,) = [each for each in made if each.status == "error"]
    assert "the script says so" in failed.error


def test_mlflows_data_frame_is_the_same():
    document = json.loads(recorded("mlflow_export"))
    rows = [{"trace_id": each["info"]["trace_id"], "trace": json.dumps(each), "state": "OK"} for each in document]
    ids = [(each.trace_id, each.span_id) for each in records(recorded("mlflow_export"))]
    assert [(each.trace_id, each.span_id) for each in records(rows)] == ids
    columns = {key: {str(number): row[key] for number, row in enumerate(rows)} for key in rows[0]}
    assert [(each.trace_id, each.span_id) for each in records(columns)] == ids


def test_mlflows_older_form():
    span = {
        "name": "f", "context": {"trace_id": "0x" + "ab" * 16, "span_id": "0x" + "cd" * 8}, "parent_id": None,
        "start_time": 1_767_323_045_000_000_000, "end_time": 1_767_323_046_000_000_000, "status_code": "ERROR",
        "status_message": "broke", "attributes": {"mlflow.spanType": '"TOOL"', "mlflow.spanInputs": '{"a": 1}'}, "events": [],
    }  # fmt: skip
    (made,) = records({"info": {"request_id": "r1", "tags": {}}, "data": {"spans": [span]}})
    assert (made.trace_id, made.span_id, made.parent_id) == ("ab" * 16, "cd" * 8, None)
    assert (made.kind, made.input, made.status, made.error) == ("tool", {"a": 1}, "error", "broke")


# Phoenix


def phoenix_row(number, **fields):
    return {
        "name": f"n{number}", "span_kind": "CHAIN", "parent_id": None, "start_time": "2026-01-02T03:04:05.000006+00:00",
        "end_time": "2026-01-02T03:04:06+00:00", "status_code": "OK", "status_message": "", "events": [],
        "context.span_id": f"{number:016x}", "context.trace_id": "ab" * 16, **fields,
    }  # fmt: skip


PHOENIX = [
    phoenix_row(1, **{"attributes.input.value": "hi", "attributes.session.id": "s1", "attributes.metadata": {"a": {"b": 1}}}),
    phoenix_row(
        2,
        parent_id=f"{1:016x}",
        span_kind="LLM",
        status_code="ERROR",
        status_message="broke",
        events=[{"name": "exception", "timestamp": "2026-01-02T03:04:05.5Z", "attributes": {"exception.message": "broke"}}],
        **{
            "attributes.llm.model_name": "m",
            "attributes.llm.input_messages": [{"message.role": "user", "message.content": "hi"}],
            "attributes.llm.output_messages": [
                {
                    "message.role": "assistant",
                    "message.tool_calls": [
                        {"tool_call.id": "c1", "tool_call.function.name": "f", "tool_call.function.arguments": "{}"}
                    ],
                }
            ],
            "attributes.llm.token_count": {"prompt": 3, "completion": 4, "prompt_details": {"cache_read": 1}},
        },
    ),
    phoenix_row(
        3, parent_id=f"{1:016x}", span_kind="RETRIEVER",
        **{"attributes.retrieval.documents": [{"document.id": "d", "document.content": "c", "document.score": 0.5}]},
    ),
]  # fmt: skip


def rest(row):
    made = {key: each for key, each in row.items() if not key.startswith(("context.", "attributes."))}
    made["context"] = {"trace_id": row["context.trace_id"], "span_id": row["context.span_id"]}
    made["attributes"] = {key.removeprefix("attributes."): each for key, each in row.items() if key.startswith("attributes.")}
    return made


COLUMNS = [*dict.fromkeys(key for row in PHOENIX for key in row)]


@pytest.mark.parametrize(
    "document",
    [
        PHOENIX,
        {key: {str(number): row.get(key) for number, row in enumerate(PHOENIX)} for key in COLUMNS},
        {"columns": COLUMNS, "data": [[row.get(each) for each in COLUMNS] for row in PHOENIX]},
        {"data": [rest(each) for each in PHOENIX], "next_cursor": None},
    ],
    ids=["records", "columns", "split", "rest"],
)
def test_phoenix_in_each_form(document):
    made = records(document)
    assert read(json.dumps(document).encode(), name="a", project="p").form == "phoenix"
    assert_tree(made)
    chain, call, found = made
    assert (chain.dialect, chain.kind, chain.input, chain.session) == ("openinference", "chain", "hi", "s1")
    assert chain.start_ns % 10**9 == 6000
    assert (call.kind, call.model, call.status, call.error) == ("llm", "m", "error", "broke")
    assert (call.usage.input_tokens, call.usage.output_tokens, call.usage.cached_tokens) == (3, 4, 1)
    assert call.input["messages"] == [{"role": "user", "content": "hi"}]
    assert call.output["messages"][0]["tool_calls"] == [{"id": "c1", "name": "f", "arguments": "{}"}]
    assert [each["name"] for each in call.events] == ["exception"]
    assert found.output == [{"id": "d", "document": "", "text": "c", "score": 0.5}]


def test_a_phoenix_server_gives_the_same_spans_in_each_form():
    forms = json.loads(recorded("phoenix_export"))
    made = {form: sorted(records(document), key=lambda each: each.span_id) for form, document in forms.items()}
    for each in made.values():
        assert [(one.trace_id, one.span_id, one.parent_id) for one in each] == [
            (one.trace_id, one.span_id, one.parent_id) for one in made["rest"]
        ]
        answered = next(one for one in each if one.model == "model/tide")
        assert (answered.kind, answered.usage.input_tokens, answered.user, answered.tags) == ("llm", 5, "user-1", ("demo",))
        assert answered.output["messages"][0]["content"] == "A tide mill grinds by the tide."
        found = next(one for one in each if one.kind == "retriever")
        assert (found.output[0]["id"], found.output[0]["text"], found.output[0]["score"]) == ("d1", "A mill.", 0.9)
        assert any("the script says so" in (one.error or "") for one in each)


# The SDKs' own spans


@pytest.mark.parametrize("name", ["ai-embed", "ai-generateObject", "ai-streamText", "ai-streamText-doStream"])
def test_javascripts_spans_of_the_shared_data(name):
    content = shared("otel_spans", "files", f"openinference__{name}.json").read_bytes()
    (made,) = records(content)
    assert (made.dialect, made.status) == ("vercel", "unset")
    assert made.model
    assert made.usage.input_tokens
    assert made.end_ns > made.start_ns > 1_770_000_000 * 10**9
    assert "tidemill.import.span_id" not in made.attributes


def test_pythons_spans_as_the_console_prints_them():
    span = {
        "name": "chat m", "context": {"trace_id": "0x" + "ab" * 16, "span_id": "0x" + "cd" * 8, "trace_state": "[]"},
        "kind": "SpanKind.CLIENT", "parent_id": "0x" + "ef" * 8, "start_time": "2026-01-02T03:04:05.000001Z",
        "end_time": "2026-01-02T03:04:06.000000Z", "status": {"status_code": "ERROR", "description": "broke"},
        "attributes": {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"},
        "events": [{"name": "exception", "timestamp": "2026-01-02T03:04:05.5Z", "attributes": {"exception.type": "E"}}],
        "links": [{"context": {"trace_id": "0x" + "12" * 16, "span_id": "0x" + "34" * 8}, "attributes": {}}],
        "resource": {"attributes": {"service.name": "shop"}, "schema_url": ""},
    }  # fmt: skip
    (raw,) = read(json.dumps(span).encode(), name="a", project="p").spans
    assert (raw.kind, raw.trace_state, raw.parent_id) == (3, "", "ef" * 8)
    made = read_span(raw, project="p")
    assert (made.kind, made.model, made.error, made.service) == ("llm", "m", "broke", "shop")
    assert made.links[0]["trace_id"] == "12" * 16
