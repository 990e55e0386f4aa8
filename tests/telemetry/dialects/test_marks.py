"""What a program says of its spans in Tidemill's words reaches the record, whatever library wrote the rest of the span."""

from __future__ import annotations

import pytest

from telemetry.dialects.reading import read
from telemetry.spans import START_NS, make_span
from tidemill.telemetry.questions.variants import RolloutSpans, count_variants, latency_ranks, variants_of
from tidemill.telemetry.row import encode_row
from tidemill.telemetry.store import Telemetry

MARKS = {
    "tidemill.release": "shop@v3", "tidemill.endpoint": "desk", "tidemill.step": "answer", "tidemill.tags": ["vip", "env=prod"],
    "tidemill.variant": "b",
}  # fmt: skip
CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "small", "gen_ai.response.model": "small-2026"}


@pytest.mark.parametrize(
    ("own", "dialect"),
    [
        ({}, "marks"),
        (CALL, "gen_ai"),
        ({"openinference.span.kind": "LLM", "llm.model_name": "small"}, "openinference"),
        ({"traceloop.span.kind": "workflow"}, "traceloop"),
        ({"langfuse.observation.type": "span", "langfuse.release": "another"}, "langfuse"),
        ({"ai.operationId": "ai.generateText"}, "vercel"),
        ({"tidemill.kind": "chain"}, "tidemill"),
    ],
)
def test_marks_beside_any_dialect(own, dialect):
    record = read({**own, **MARKS, "session.id": "s-1", "enduser.id": "ana"})
    assert (record.release, record.endpoint, record.step) == ("shop@v3", "desk", "answer")
    assert record.tags == ("vip", "env=prod")
    assert (record.session, record.user) == ("s-1", "ana")
    assert record.dialect == dialect
    assert b'"variant":"b"' in encode_row(record)
    assert not set(MARKS) & (set(record.attributes) - {"tidemill.variant"}), "what moved is not kept twice"


def test_marks_change_nothing_else():
    with_marks, without = read({**CALL, **MARKS}), read(CALL)
    assert with_marks.model == without.model
    assert with_marks.kind == without.kind


def test_the_release_of_a_whole_program():
    resource = {"service.name": "shop", "tidemill.release": "shop@v3"}
    assert read(CALL, resource=resource).release == "shop@v3"
    assert read({**CALL, "tidemill.release": "shop@v4"}, resource=resource).release == "shop@v4"


@pytest.mark.parametrize("value", [7, "", ["a"], {"a": 1}, None, True])
def test_a_mark_that_is_no_text_stays_where_it_was(value):
    record = read({**CALL, "tidemill.release": value})
    assert record.release is None or isinstance(record.release, str)


def test_a_sender_names_no_project():
    record = read({**CALL, "tidemill.project": "theirs"}, resource={"tidemill.project": "theirs"})
    assert record.project == "p"


@pytest.mark.anyio
async def test_what_is_sent_counts_in_no_rollout(tmp_path):
    pytest.importorskip("chdb", reason="needs the extra analytics")
    ours = {"tidemill.rollout": "r-1", "tidemill.variant": "b"}
    sent = [
        read({**own, **MARKS, "tidemill.rollout": "r-1"}, parent_id="", status="error")
        for own in ({}, CALL, {"tidemill.kind": "chain"}, {"openinference.span.kind": "CHAIN"})
    ]
    wanted = RolloutSpans(project="p", endpoint="desk", rollout="r-1", since_ns=0)
    async with Telemetry(tmp_path) as telemetry:
        for each in sent:
            await telemetry.append([each])
            await telemetry.flush()
            assert not await count_variants(telemetry.engine, wanted)
        await telemetry.append([make_span(7, endpoint="desk", attributes=ours, start_ns=START_NS)])
        await telemetry.flush()
        counts = await count_variants(telemetry.engine, wanted)
        assert {name: (each.requests, each.errors) for name, each in counts.items()} == {"b": (1, 0)}
        assert await latency_ranks(telemetry.engine, wanted, variant="b", ranks=[1]) == [2.0]
        assert await variants_of(telemetry.engine, wanted, [sent[0].trace_id, f"{7:032x}"]) == {f"{7:032x}": "b"}
