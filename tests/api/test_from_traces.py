"""Samples out of traces that were sent over OTLP: any trace's question, in whatever span and form it stands."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from api.house import Project
from api.test_traces_erase import send

pytest.importorskip("chdb", reason="needs the extra analytics")
pytest.importorskip("clickhouse_connect", reason="needs the extra analytics")
NOW_NS = time.time_ns() - 600 * 10**9


def span(number: int, *, trace: int, parent: int = 0, name: str = "chat", **attributes: Any) -> Any:
    return {
        "traceId": f"{trace:032x}", "spanId": f"{number:016x}", "name": name, "kind": 1,
        "parentSpanId": f"{parent:016x}" if parent else "",
        "startTimeUnixNano": str(NOW_NS + number * 1000), "endTimeUnixNano": str(NOW_NS + number * 1000 + 10**6),
        "attributes": [
            {"key": key.replace("__", "."), "value": {"stringValue": value}} for key, value in attributes.items()
        ],
    }  # fmt: skip


def call(*asked: tuple[str, str], said: str = "") -> dict[str, str]:
    """The attributes of a model's call, as the conventions of generative AI have them."""
    messages = [{"role": role, "parts": [{"type": "text", "content": text}]} for role, text in asked]
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": said}], "finish_reason": "stop"}]
    return {
        "gen_ai__operation__name": "chat", "gen_ai__request__model": "m", "gen_ai__input__messages": json.dumps(messages),
        **({"gen_ai__output__messages": json.dumps(answer)} if said else {}),
    }  # fmt: skip


def asked_by(made: Any) -> dict[str, Any]:
    return {str(each["input"]): each["reference"] for each in made["samples"]}


def test_calls_of_models_are_questions_and_answers(filled: Project) -> None:
    send(
        filled,
        span(1, trace=1, **call(("system", "be short"), ("user", "when is high water?"), said="at noon")),
        span(2, trace=2, **call(("user", "hello"), ("assistant", "hello"), ("user", "and low water?"), said="at six")),
        # a web framework's span says nothing, the calls below it do
        span(3, trace=3, name="POST /ask"),
        span(4, trace=3, parent=3, **call(("user", "who keeps the light?"), said="let me look")),
        span(5, trace=3, parent=3, **call(("tool", "the keeper"), said="the keeper")),
        # its first span never came
        span(6, trace=4, parent=99, **call(("user", "is the bridge up?"), said="yes")),
        span(7, trace=5, name="nothing said"),
    )
    for trace in (1, 3):
        filled.post("/feedback", {"trace": f"{trace:032x}", "kind": "thumbs", "value": "up"})
    made = filled.post("/datasets/sent:from-traces", {})
    assert asked_by(made).items() >= {
        "when is high water?": "at noon", "and low water?": None, "who keeps the light?": "the keeper",
    }.items()  # fmt: skip
    assert made["skipped"] == {"no input was recorded": 1}
    listed = {each["id"]: each for each in filled.get("/traces")["items"]}
    assert "who keeps the light?" in str(listed[f"{3:032x}"]["input"])
    assert filled.get(f"/traces/{3:032x}")["output"] == listed[f"{3:032x}"]["output"]
    again = filled.post("/datasets/sent:from-traces", {})
    assert (again["added"], again["known"]) == (0, len(made["samples"]))


def test_a_filter_chooses_and_an_evaluation_is_never_taken(filled: Project) -> None:
    send(
        filled,
        span(1, trace=1, team="one", **call(("user", "one?"), said="1")),
        span(2, trace=2, team="two", **call(("user", "two?"), said="2")),
        span(3, trace=3, team="two", tidemill__evaluation="ev1", **call(("user", "three?"), said="3")),
    )
    assert set(asked_by(filled.post("/datasets/a:from-traces", {"filter": 'attr."team" = "two"'}))) == {"two?"}
    assert set(asked_by(filled.post("/datasets/b:from-traces", {"filter": "input ~ one"}))) == {"one?"}
    assert filled.raw("POST", "/datasets/b:from-traces", json={"filter": "model = ("}).status_code in {400, 422}


def test_a_question_kept_apart_is_read_whole(filled: Project) -> None:
    long, longer = "tide " * 20_000, "ebb " * 400_000
    send(filled, span(1, trace=1, **call(("user", long), said="yes")), span(2, trace=2, **call(("user", longer), said="no")))
    found = {each["id"]: each for each in filled.get("/traces")["items"]}
    assert found[f"{1:032x}"]["kept_apart"] == {"input": f"{1:016x}"}
    assert found[f"{1:032x}"]["input"].startswith("tide tide")
    made = filled.post("/datasets/long:from-traces", {})
    assert set(asked_by(made)) == {long}
    assert made["skipped"] == {"its input or output is kept apart, and too large or gone": 1}
