"""What people and judges said of traces on another platform: scores of the trace or the span here, once."""

from __future__ import annotations

import json

import pytest

from tidemill.core.errors import Invalid
from tidemill.telemetry.exports import read

WHEN = "2026-01-02T03:04:05Z"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def said(document, **options):
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read(content, name="a.json", project="p", **options)


def shown(scores):
    return [(each.name, each.value, each.text, each.source, each.author) for each in scores]


def langfuse(*scores):
    observation = {"id": "1" * 16, "traceId": TRACE, "type": "SPAN", "name": "n", "startTime": WHEN, "endTime": WHEN}
    return {"id": TRACE, "timestamp": WHEN, "userId": "ada", "observations": [observation], "scores": list(scores)}


def score(**fields):
    return {
        "id": "s",
        "traceId": TRACE,
        "name": "tone",
        "dataType": "NUMERIC",
        "value": 0.5,
        "source": "API",
        "timestamp": WHEN,
    } | fields


def test_langfuse_scores_in_their_trace():
    made = said(
        langfuse(
            score(comment="curt"),
            score(name="right", dataType="BOOLEAN", value=1, source="EVAL", observationId="1" * 16),
            score(name="kind", dataType="CATEGORICAL", value=2, stringValue="polite", source="ANNOTATION", authorUserId="eve"),
            "an id alone",
        )
    )
    assert shown(made.scores) == [
        ("tone", 0.5, "curt", "api", "langfuse:api"),
        ("right", 1.0, "true", "evaluation", "langfuse:eval"),
        ("kind", None, "polite", "feedback", "eve"),
    ]
    assert {each.trace_id for each in made.scores} == {TRACE}
    assert [each.span_id for each in made.scores] == ["", "1" * 16, ""]
    assert made.scores[0].at_ns == 1_767_323_045_000_000_000
    assert made.spans[0].attributes.get("langfuse.trace.scores") is None


def test_langfuse_scores_in_a_file_of_their_own_and_beside_observations():
    lines = [score(trace_id=TRACE) | {"traceId": TRACE}, *langfuse()["observations"], score(name="b", traceId="t-1")]
    made = said("\n".join(json.dumps(each) for each in lines).encode())
    assert (made.form, len(made.spans), [each.name for each in made.scores]) == ("langfuse", 1, ["tone", "b"])
    assert len(made.scores[1].trace_id) == 32
    assert said({"data": [score(), score(traceId=None)]}).scores[0].name == "tone"
    assert len(said({"data": [score(), score(traceId=None)]}).scores) == 1  # one of a session


def test_mlflow_feedback_but_not_what_was_expected_nor_what_was_replaced():
    def assessment(name, value, kind="HUMAN", **fields):
        source = {"source_type": kind, "source_id": "eve" if kind == "HUMAN" else "judge-1"}
        return {"assessment_name": name, "trace_id": "tr-" + TRACE, "source": source, "create_time": WHEN,
                "feedback": {"value": value}} | fields  # fmt: skip

    span = {"trace_id": TRACE, "span_id": "1" * 16, "parent_span_id": None, "name": "n", "start_time_unix_nano": 10**18}
    expected = {"assessment_name": "fact", "expectation": {"value": "Paris"}, "create_time": WHEN}
    info = {
        "trace_id": "tr-" + TRACE,
        "assessments": [
            assessment("right", value=True, rationale="as the map says"),
            assessment("tone", 0.25, "LLM_JUDGE", span_id="1" * 16),
            assessment("old", 1, valid=False),
            assessment("words", ["a", "b"]),
            expected,
        ],
    }
    made = said([{"info": info, "data": {"spans": [span]}}])
    assert shown(made.scores) == [
        ("right", 1.0, "true: as the map says", "feedback", "eve"),
        ("tone", 0.25, "", "evaluation", "judge-1"),
        ("words", None, '["a","b"]', "feedback", "eve"),
    ]
    assert [(each.trace_id, each.span_id) for each in made.scores][:2] == [(TRACE, ""), (TRACE, "1" * 16)]
    assert made.spans[0].attributes["mlflow.trace.assessments"] == [expected]


RUN = {"id": "0af76519-16cd-43dd-8448-eb211c80319c", "run_type": "chain", "name": "n", "start_time": WHEN, "end_time": WHEN}
BELOW = RUN | {"id": "1af76519-16cd-43dd-8448-eb211c80319c", "trace_id": RUN["id"], "parent_run_id": RUN["id"]}


def test_langsmith_adds_up_what_was_said_of_a_run():
    stats = {
        "user_score": {"n": 4, "avg": 0.75, "comments": ["fine", "quick"]},
        "tone": {"n": 2, "avg": None, "values": {"dry": 2}},
    }
    made = said("\n".join(json.dumps(each) for each in (RUN | {"feedback_stats": stats}, BELOW)).encode())
    assert shown(made.scores) == [
        ("user_score", 0.75, "fine; quick", "api", "langsmith:all"),
        ("tone", None, '{"dry":2}', "api", "langsmith:all"),
    ]
    assert {(each.trace_id, each.span_id) for each in made.scores} == {(made.spans[0].trace_id, "")}


def test_langsmith_feedback_a_line_beside_its_runs():
    stats = {"user_score": {"n": 1, "avg": 1}}
    told = [
        {"id": "f1", "run_id": BELOW["id"], "key": "user_score", "score": 1, "created_at": WHEN,
         "feedback_source": {"type": "app", "user_id": "eve"}},
        {"id": "f2", "run_id": RUN["id"], "key": "note", "value": "dry", "comment": "too dry", "created_at": WHEN},
    ]  # fmt: skip
    made = said("\n".join(json.dumps(each) for each in (RUN, BELOW | {"feedback_stats": stats}, *told)).encode())
    assert shown(made.scores) == [
        ("user_score", 1.0, "", "feedback", "eve"),
        ("note", None, "dry: too dry", "api", "langsmith:api"),
    ]
    assert [each.span_id for each in made.scores] == [made.spans[1].span_id, ""]
    alone = said("\n".join(json.dumps(each) for each in told).encode())  # its trace is not known: it is of a root
    assert (alone.form, alone.spans, len(alone.scores)) == ("langsmith", [], 2)
    assert alone.scores[1].trace_id == made.scores[1].trace_id


@pytest.mark.parametrize("odd", [None, 3, "x", [], {}, True])
@pytest.mark.parametrize("key", ["value", "name", "timestamp", "source", "comment", "traceId"])
def test_odd_scores_are_taken_left_out_or_refused_by_their_place(key, odd):
    document = langfuse(score(**{key: odd}))
    if key == "timestamp" and odd not in (None, 3):
        with pytest.raises(Invalid, match=r"a\.json.*score 1.*no time"):
            said(document)
        return
    made = said(document)
    assert all((each.name and each.trace_id == TRACE) or key == "traceId" for each in made.scores)
