"""A call that two instrumentations recorded, one inside the other, is charged once, wherever numbers are shown."""

from __future__ import annotations

import pytest

from telemetry.spans import START_NS, make_span
from tidemill.telemetry.numbers.question import read_question
from tidemill.telemetry.store import Telemetry

pytest.importorskip("chdb", reason="needs the extra analytics")
pytestmark = pytest.mark.anyio
HOUR_NS = 3_600_000_000_000


def twice(trace, tokens, *, both, **fields):
    """An agent above a framework's call, and its client's call inside that."""
    call = {"trace": trace, "kind": "llm", "model": "m", "tokens_in": tokens, "cost": tokens / 1000, **fields}
    inner = [make_span(2, parent=1, scope="client", **call)] if both else []
    return [
        make_span(0, trace=trace, kind="agent", tokens_in=tokens, **fields),
        make_span(1, parent=0, scope="framework", **call),
        *inner,
    ]


async def test_once_everywhere_also_with_a_span_between_them(tmp_path):
    call = {"trace": 1, "kind": "llm", "model": "m", "tokens_in": 100, "cost": 0.1, "session": "s", "user": "u"}
    spans = [
        make_span(0, trace=1, kind="agent", session="s", user="u"),
        make_span(1, parent=0, scope="framework", **call),
        make_span(2, parent=1, trace=1, session="s", user="u"),
        make_span(3, parent=2, scope="client", **call),
        make_span(4, parent=0, **call),
    ]
    async with Telemetry(tmp_path) as telemetry:
        await telemetry.append(spans)
        await telemetry.flush()
        asked = {"now_ns": START_NS + HOUR_NS}
        (listed,) = (await telemetry.list_traces("p", **asked))["items"]
        (session,) = (await telemetry.list_groups("p", "session", **asked))["items"]
        (user,) = (await telemetry.list_groups("p", "user", **asked))["items"]
        trace = await telemetry.get_trace("p", f"{1:032x}")
        for each in (listed, session, user, trace):
            assert (each["usage"]["input_tokens"], each["cost"]) == (200, pytest.approx(0.2))
        for is_settled in (False, True):
            if is_settled:
                assert await telemetry.rollups.settle("p", grace=0) == 0
            for by in ([], ["model"], ["user"], ["scope"]):
                question = read_question(
                    project="p", measures=("input_tokens", "cost"), by=by, of="calls", from_ns=START_NS - HOUR_NS,
                    to_ns=START_NS + HOUR_NS, now_ns=START_NS + HOUR_NS,
                )  # fmt: skip
                found = await telemetry.ask_numbers(question)
                values = [point["values"] for series in found["series"] for point in series["points"]]
                assert sum(each["input_tokens"] or 0 for each in values) == 200, (is_settled, by)
                assert sum(each["cost"] or 0 for each in values) == pytest.approx(0.2)


async def test_once_everywhere(tmp_path):
    async with Telemetry(tmp_path) as telemetry:
        spans = [*twice(1, 100, both=True, session="s"), *twice(2, 150, both=False, session="s")]
        await telemetry.append(spans)
        await telemetry.flush()
        asked = {"now_ns": START_NS + HOUR_NS}
        items = {each["id"][-1]: each for each in (await telemetry.list_traces("p", **asked))["items"]}
        assert (items["1"]["usage"]["input_tokens"], items["2"]["usage"]["input_tokens"]) == (100, 150)
        for order in ("-tokens", "-cost"):
            ranked = await telemetry.list_traces("p", order=order, **asked)
            assert [each["id"][-1] for each in ranked["items"]] == ["2", "1"], order
            first = await telemetry.list_traces("p", order=order, limit=1, **asked)
            rest = await telemetry.list_traces("p", order=order, limit=1, cursor=first["next"], **asked)
            assert [each["id"][-1] for each in rest["items"]] == ["1"]
        (session,) = (await telemetry.list_groups("p", "session", **asked))["items"]
        assert session["usage"]["input_tokens"] == 250
        assert session["cost"] == pytest.approx(0.25)
        assert (await telemetry.get_trace("p", f"{1:032x}"))["cost"] == pytest.approx(0.1)
