"""Langfuse's export files of the shared data, and the other forms it gives."""

from __future__ import annotations

import json

import pytest

from telemetry.dialects.reading import shared
from tidemill.core.errors import Invalid
from tidemill.telemetry.dialects import read_span
from tidemill.telemetry.exports import read

NAMES = [
    "autogen-2025-06-06", "claude-agent-2025-12-22", "google-adk-2025-08-28", "langgraph-python-2025-08-22",
    "llamaindex-2025-06-05", "openai-agents-2025-09-30", "pydantic-ai-2025-06-06", "pydantic-ai-tools-2025-06-06",
    "pydantic-ai-tools-2025-12-04", "vercel-aisdk-2025-11-17", "vertex-ai-2025-08-01", "seed-autogen-2025-06-06",
    "seed-google-adk-2025-08-28", "seed-langgraph-2025-08-22", "seed-llamaindex-2025-06-05", "seed-openai-agents-2025-09-30",
    "seed-openai-assistants-2024-05-29", "seed-pydantic-ai-tools-2025-12-04",
]  # fmt: skip


def exported(name):
    return shared("framework_traces", "files", f"{name}.trace.json").read_bytes()


def records(content):
    return [read_span(each, project="p") for each in read(content, name="a.json", project="p").spans]


@pytest.mark.parametrize("name", NAMES)
def test_an_export_is_a_tree_with_its_tokens_costs_and_people(name):
    content = exported(name)
    document = json.loads(content)
    made = records(content)
    assert read(content, name="a.json", project="p").form == "langfuse"
    root = () if len(made) == len(document["observations"]) else (made.pop(0),)  # the trace itself, above several roots
    assert len(made) == len(document["observations"])
    ids = {each.span_id for each in (*root, *made)}
    assert [each.parent_id for each in (*root, *made) if each.parent_id not in ids] == [None]
    assert len({each.trace_id for each in (*root, *made)}) == 1
    for each, observation in zip(made, document["observations"], strict=True):
        assert each.name == (observation.get("name") or observation["type"].lower())
        if observation["type"] == "GENERATION":
            assert each.model
            assert each.usage.output_tokens or not observation["usageDetails"].get("output")
            if observation["costDetails"].get("total"):
                assert each.cost == pytest.approx(observation["costDetails"]["total"])
        if observation.get("input") is not None:
            assert each.input is not None
        if observation.get("output") is not None:
            assert each.output is not None
        assert each.user == (document["trace"]["userId"] or each.user)
        assert each.session == (document["trace"]["sessionId"] or each.session)
        assert each.tags == tuple(document["trace"].get("tags") or each.tags)
    assert {each.span_id for each in records(content)} == ids


# What the source's own reader makes of these; ours differ where they are better: a name of a tool's role, parts kept apart.
OURS = {("google-adk-2025-08-28", "input"), ("openai-agents-2025-09-30", "input"), ("pydantic-ai-tools-2025-12-04", "input")}
SAYS_LITTLE = {"autogen-2025-06-06", "llamaindex-2025-06-05"}  # by its own account no messages
ROLES = {"model": "assistant", "developer": "system"}


@pytest.mark.parametrize("name", [each for each in NAMES if not each.startswith("seed")])
def test_the_messages_are_those_expected(name):
    made = {each.span_id: each for each in records(exported(name))}
    expected = json.loads(shared("framework_traces", "files", f"{name}.chatml.json").read_bytes())
    compared = 0
    for span_id, sides in expected.items():
        record = made[span_id]
        for side in ("input", "output"):
            wanted = sides.get(side, {})
            if record.kind != "llm" or not wanted.get("success") or (name, side) in OURS:
                continue
            if any("role" not in each for each in wanted["data"]):
                continue  # no message, by its own account
            said = getattr(record, side)["messages"]
            assert [each["role"] for each in said] == [ROLES.get(each["role"], each["role"]) for each in wanted["data"]]
            assert [names(each) for each in said] == [names(each) for each in wanted["data"]]
            assert [text(each)[:80] for each in said] == [text(each)[:80] for each in wanted["data"]]
            compared += 1
    assert compared or name in SAYS_LITTLE


def names(message):
    content = message.get("content")
    parts = [each["name"] for each in content if each.get("type") == "tool_use"] if isinstance(content, list) else []
    return [each["name"] for each in message.get("tool_calls") or ()] + parts


def text(message):
    content = message.get("content") or ""
    if isinstance(content, str):
        return content.strip()
    return "".join(each.get("text", "") for each in content if each.get("type") == "text").strip()


def row(number, **fields):
    return {
        "id": f"o{number}", "trace_id": "t1", "type": "SPAN", "start_time": "2026-01-02 03:04:05.678901", "name": f"n{number}",
        "end_time": "2026-01-02T03:04:06.000Z", **fields,
    }  # fmt: skip


def test_observations_a_line_as_exported_to_a_bucket():
    lines = [
        row(1, user_id="ada"),
        row(2, parent_observation_id="o1", type="GENERATION", provided_model_name="m", usage_details={"input": 3, "output": 4},
            total_cost=0.5, level="ERROR", status_message="broke", input='"\\"quoted\\""'),
    ]  # fmt: skip
    content = "\n".join(json.dumps(each) for each in lines).encode()
    first, second = records(content)
    assert (first.parent_id, second.parent_id) == (None, first.span_id)
    assert (second.kind, second.model, second.usage.input_tokens, second.cost) == ("llm", "m", 3, 0.5)
    assert (second.status, second.error) == ("error", "broke")
    assert second.input == {"messages": [{"role": "user", "content": "quoted"}]}
    assert first.start_ns == 1_767_323_045_678_901_000
    assert (second.attributes["tidemill.import.span_id"], second.attributes["tidemill.import.trace_id"]) == ("o2", "t1")


def test_a_trace_of_several_roots_gets_one():
    trace = {"id": "t1", "timestamp": "2026-01-02T03:04:05Z", "name": "whole", "userId": "ada", "input": {"q": 1},
             "observations": [row(1), row(2)]}  # fmt: skip
    root, first, second = records(json.dumps(trace).encode())
    assert (root.name, root.parent_id, root.input, root.user) == ("whole", None, {"q": 1}, "ada")
    assert {first.parent_id, second.parent_id} == {root.span_id}
    assert root.end_ns == first.end_ns


def test_traces_without_their_observations_are_one_span_each():
    listed = {"data": [{"id": f"t{n}", "timestamp": "2026-01-02T03:04:05Z", "sessionId": "s", "output": "x"} for n in (1, 2)]}
    made = records(json.dumps(listed).encode())
    assert [(each.parent_id, each.session, each.output) for each in made] == [(None, "s", "x")] * 2


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ({"start_time": None}, "no time"),
        ({"start_time": "yesterday"}, "'yesterday'"),
        ({"id": ""}, "without an id"),
        ({"trace_id": ""}, "without the id of its trace"),
        ({"end_time": [1, "x"]}, "no time"),
    ],
)
def test_a_row_that_is_no_span_is_named(spoilt, message):
    content = "\n".join(json.dumps(each) for each in (row(1), row(2, **spoilt))).encode()
    with pytest.raises(Invalid, match=message) as caught:
        read(content, name="a.jsonl", project="p")
    assert "a.jsonl line 2" in str(caught.value)
