"""Lists, trees, scores, sessions, users, search by meaning, export and tail over a real store."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from dataclasses import replace

import pytest
from msgspec import structs

from telemetry.spans import START_NS, make_span
from tidemill.core.errors import Invalid, NotFound
from tidemill.telemetry.dialects import read_span
from tidemill.telemetry.expression import matches, parse
from tidemill.telemetry.otlp.parse import parse_traces
from tidemill.telemetry.otlp.tally import Tally
from tidemill.telemetry.otlp.traces import read_spans
from tidemill.telemetry.questions.scores import TraceScore
from tidemill.telemetry.questions.windows import HOUR_NS, windows
from tidemill.telemetry.store import Telemetry

pytest.importorskip("chdb", reason="needs the extra analytics")
pytest.importorskip("clickhouse_connect", reason="needs the extra analytics")
pytestmark = pytest.mark.anyio
NOW_NS = START_NS + 10 * HOUR_NS


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


def conversation(number, *, session, user, at_ns, question, answer, tags=(), **fields):
    """A trace: a chain above a call of a model."""
    given = {"session": session, "user": user, "tags": tags, "start_ns": at_ns}
    return [
        make_span(0, trace=number, name="desk", input={"question": question}, output=answer, end_ns=at_ns + 10**9, **given),
        make_span(
            1, trace=number, parent=0, name="answer", kind="llm", model="m-1", tokens_in=10 * number, tokens_out=number,
            cost=number / 1000, first_token_ns=5_000_000, provider="test", finish_reasons=("stop",), scope="lib",
            end_ns=at_ns + number * 10**9, events=({"name": "cut", "time_ns": at_ns, "attributes": {"n": 1}},),
            links=({"trace_id": "a" * 32, "span_id": "b" * 16, "attributes": {}},), service="shop",
            resource={"service.name": "shop", "service.version": "1"},
            output={"messages": [{"role": "assistant", "content": answer}]},
            **{**given, **fields},
        ),
    ]  # fmt: skip


TRACES = [
    *conversation(
        1, session="s1", user="ana", at_ns=START_NS, question="When do you open?", answer="At nine.", tags=("env=prod",)
    ),
    *conversation(
        2, session="s1", user="ana", at_ns=START_NS + HOUR_NS, question="A refund please", answer="It is on its way."
    ),
    *conversation(
        3, session="s2", user="ben", at_ns=START_NS + 3 * HOUR_NS, question="Why was I billed?", answer="A refund was made.",
        tags=("env:test", "vip"), status="error", error="timed out",
    ),
    *conversation(4, session="odd/session ' OR 1=1", user="ana", at_ns=START_NS + 9 * HOUR_NS, question="Hello", answer="Hi."),
    make_span(0, trace=9, project="other", name="theirs", session="s1", user="ana", input="refund"),
]  # fmt: skip


@pytest.fixture(scope="module")
async def store(tmp_path_factory):
    async with Telemetry(tmp_path_factory.mktemp("store")) as telemetry:
        await telemetry.append(TRACES)
        await telemetry.put_scores(
            [
                TraceScore(project="p", trace_id=f"{1:032x}", name="groundedness", source="monitor", value=0.9, at_ns=NOW_NS),
                TraceScore(project="p", trace_id=f"{3:032x}", name="groundedness", source="monitor", value=0.2, at_ns=NOW_NS),
                TraceScore(
                    project="p", trace_id=f"{3:032x}", span_id=f"{2:016x}", name="thumbs", source="feedback", author="ben",
                    value=0.0, text="down", at_ns=NOW_NS,
                ),
                TraceScore(project="other", trace_id=f"{2:032x}", name="groundedness", source="api", value=0.1, at_ns=NOW_NS),
            ]
        )  # fmt: skip
        yield telemetry


async def found(store, text, **options):
    page = await store.list_traces("p", filter=text, now_ns=NOW_NS, **options)
    return [int(each["id"], 16) for each in page["items"]]


FOUND = {
    "": [4, 3, 2, 1],
    'model = "m-1" and latency > 2s and tag.env = "test" and output ~ "refund" and score.groundedness < 0.5': [3],
    "tag.env = prod": [1],
    "tag.env exists": [3, 1],
    "not tag.env = prod": [4, 3, 2],
    "tag.env != prod": [4, 3, 2],
    "tag = vip and kind = llm": [3],
    "kind = llm and status = error": [3],
    "kind = chain and latency = 1s and cost exists": [],
    "refund": [3, 2],
    "input ~ refund": [2],
    "output ~ refund": [3],
    "cost >= $0.003": [4, 3],
    "tokens > 20 and tokens < 40": [3, 2],
    "ttft exists and finish_reason = stop and provider = test": [4, 3, 2, 1],
    "resource.service.version = '1' and service = shop": [4, 3, 2, 1],
    "score.groundedness exists": [3, 1],
    "not score.groundedness exists": [4, 2],
    "score.groundedness != 0.2": [1],
    "feedback = down": [3],
    "feedback != down": [],
    "feedback exists and user = ben": [3],
    "session = s1": [2, 1],
    "session != s1": [4, 3],
    "session has '1=1'": [4],
    "user in (ben) or session = s1 and output ~ nine": [3, 1],
    "start >= 2026-09-21T16:00": [4, 3],
    "trace = 00000000000000000000000000000002": [2],
    "environment != ''": [],
    "environment = '' and release=": [4, 3, 2, 1],
}  # fmt: skip


async def test_filters_find_traces(store):
    assert {text: await found(store, text) for text in FOUND} == FOUND


EVIL = ["' OR 1=1 --", "') OR ('1'='1", "\\'; DROP TABLE spans; --", "{project:String}", "%`}{", '"', "\\", "𝕊x'||'y"]


async def test_sql_in_values_and_keys_finds_nothing_and_harms_nothing(store):
    for value in EVIL:
        text = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        named = ("name", "user", "tag", "tag.env", f"tag.{text}", f"attr.{text}", "feedback", "resource.k", "input")
        said = [f"score.{text} exists", *(f"{key} {how}" for key in named for how in (f"= {text}", f"in ({text}, {text})"))]
        assert await found(store, " or ".join(said)) == [], value
        assert await found(store, f"not ({' or '.join(said)})") == [4, 3, 2, 1], value
        await found(store, " or ".join(f"{key} ~ {text} or {key} has {text}" for key in named))
        await store.search_spans("p", value, now_ns=NOW_NS)
    assert await found(store, "") == [4, 3, 2, 1]


async def test_memory_and_store_agree_on_spans(store):
    texts = [text for text in FOUND if "score" not in text and "feedback" not in text]
    spans = [each for each in TRACES if each.project == "p"]
    for text in texts:
        expression = parse(text)
        in_memory = {(each.trace_id, each.span_id) for each in spans if matches(expression, each)}
        stored = await store.search_spans("p", filter=expression, limit=100, now_ns=NOW_NS)
        assert {(str(each["trace_id"]), str(each["id"])) for each in stored} == in_memory, text


async def test_lists_have_bounds_orders_and_pages(store):
    assert await found(store, "", to_ns=START_NS + 2 * HOUR_NS) == [2, 1]
    assert await found(store, "", from_ns=START_NS + HOUR_NS, to_ns=START_NS + 9 * HOUR_NS) == [3, 2]
    assert await found(store, "start > 9h") == [4, 3]
    early = await store.list_traces("p", now_ns=START_NS - 20 * HOUR_NS)  # a list ends a day from now
    assert [int(each["id"], 16) for each in early["items"]] == [3, 2, 1]
    assert (await found(store, "", order="-cost"), await found(store, "", order="-tokens")) == ([4, 3, 2, 1],) * 2
    for order in ("-start", "-latency", "-cost", "-tokens"):
        whole, cursor = await found(store, "", order=order), None
        paged = []
        while True:
            page = await store.list_traces("p", limit=1, cursor=cursor, order=order, now_ns=NOW_NS)
            paged += [int(each["id"], 16) for each in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert paged == whole, order
    for wrong in ({"order": "cost"}, {"cursor": "x"}, {"cursor": "-cost~x~y", "order": "-cost"}, {"limit": 1001}):
        with pytest.raises(Invalid):
            await store.list_traces("p", **wrong)


def test_windows_have_no_gaps():
    for low in (None, 0, START_NS - 50 * HOUR_NS):
        shown = list(windows(from_ns=low, to_ns=NOW_NS + 5, now_ns=NOW_NS))
        assert shown[0][1] == NOW_NS + 5
        assert shown[-1][0] == (low or 0)
        assert all(older[1] == newer[0] for newer, older in itertools.pairwise(shown))


async def test_a_trace_has_everything(store):
    trace = await store.get_trace("p", f"{3:032x}")
    answer = trace["spans"][1]
    assert {name: answer[name] for name in ("provider", "first_token_ms", "finish_reasons", "scope", "service", "weight")} == {
        "provider": "test", "first_token_ms": 5.0, "finish_reasons": ["stop"], "scope": "lib", "service": "shop", "weight": 1.0,
    }  # fmt: skip
    assert answer["events"][0]["name"] == "cut"
    assert answer["links"][0]["trace_id"] == "a" * 32
    assert (answer["depth"], answer["order"]) == (1, 1)
    assert [each["name"] for each in answer["scores"]] == ["thumbs"]
    assert {(each["name"], each["value"], each["text"]) for each in trace["scores"]} == {
        ("groundedness", 0.2, None), ("thumbs", 0.0, "down"),
    }  # fmt: skip
    assert trace["first_token_ms"] == 5.0


async def test_a_score_that_comes_again_takes_the_place_of_the_first(store):
    score = TraceScore(project="p", trace_id=f"{4:032x}", name="late", source="api", author="a", value=0.1, at_ns=NOW_NS)
    spans = (await store.get_trace("p", score.trace_id))["spans"]
    await store.put_scores([score])
    assert await found(store, "score.late < 0.5") == [4]
    await store.put_scores([replace(score, value=0.9, at_ns=NOW_NS + 1)])
    assert (await found(store, "score.late < 0.5"), await found(store, "score.late > 0.5")) == ([], [4])
    await store.put_scores([replace(score, removed=True, at_ns=NOW_NS + 2)])
    assert await found(store, "score.late exists") == []
    assert (await store.get_trace("p", score.trace_id))["spans"] == spans


async def test_orphans_rings_and_missing_parents_have_a_place(tmp_path):
    spans = [
        make_span(0, trace=1, name="root"), make_span(1, trace=1, parent=0), make_span(2, trace=1, parent=77, name="orphan"),
        make_span(3, trace=1, parent=4), make_span(4, trace=1, parent=3), make_span(5, trace=1, parent=5, name="own parent"),
    ]  # fmt: skip
    async with Telemetry(tmp_path) as telemetry:
        await telemetry.append(spans)
        shown = (await telemetry.get_trace("p", f"{1:032x}"))["spans"]
    assert [(each["name"], each["depth"]) for each in sorted(shown, key=lambda each: each["order"])] == [
        ("root", 0), ("span 1", 1), ("orphan", 0), ("own parent", 0), ("span 3", 0), ("span 4", 1),
    ]  # fmt: skip


@pytest.mark.slow
async def test_a_trace_of_fifty_thousand_spans_and_one_as_deep(tmp_path):
    async with Telemetry(tmp_path) as telemetry:
        await telemetry.append([make_span(number, trace=1, parent=number - 1 if number else None) for number in range(2000)])
        await telemetry.append([make_span(number, trace=2, parent=0 if number else None) for number in range(50_000)])
        deep = await telemetry.get_trace("p", f"{1:032x}")
        assert (len(deep["spans"]), max(each["depth"] for each in deep["spans"])) == (2000, 1999)
        wide = await telemetry.get_trace("p", f"{2:032x}")
        assert len({each["order"] for each in wide["spans"]}) == 50_000
        assert len((await telemetry.list_traces("p"))["items"]) == 2


async def test_sessions_and_users(store):
    sessions = await store.list_groups("p", "session", now_ns=NOW_NS)
    assert [(each["id"], each["traces"], each["users"], each["errors"]) for each in sessions["items"]] == [
        ("odd/session ' OR 1=1", 1, ["ana"], 0), ("s2", 1, ["ben"], 0), ("s1", 2, ["ana"], 0),
    ]  # fmt: skip
    totals = sessions["items"][2]
    assert (totals["usage"], round(totals["cost"], 6)) == ({"input_tokens": 30, "output_tokens": 3}, 0.003)
    users = await store.list_groups("p", "user", now_ns=NOW_NS)
    assert [(each["id"], each["traces"], each["sessions"]) for each in users["items"]] == [
        ("ana", 3, ["odd/session ' OR 1=1", "s1"]), ("ben", 1, ["s2"]),
    ]  # fmt: skip
    first = await store.list_groups("p", "user", limit=1, now_ns=NOW_NS)
    second = await store.list_groups("p", "user", limit=1, cursor=first["next"], now_ns=NOW_NS)
    assert ([each["id"] for each in (*first["items"], *second["items"])], second["next"]) == (["ana", "ben"], None)
    shown = await store.get_session("p", "s1", limit=1)
    rest = await store.get_session("p", "s1", limit=1, cursor=shown["next"])
    assert [each["output"] for each in (*shown["items"], *rest["items"])] == ["At nine.", "It is on its way."]
    assert (await store.get_session("p", "odd/session ' OR 1=1"))["traces"] == 1
    with pytest.raises(NotFound, match="no session s3"):
        await store.get_session("p", "s3")
    with pytest.raises(NotFound):
        await store.get_session("other", "s2")


class Letters:
    """An embedder that counts letters: texts of the same words are near."""

    name = "letters"

    def __init__(self):
        self.asked = []

    async def __call__(self, texts):
        self.asked += texts
        counts = [[text.lower().count(letter) for letter in "refund"] for text in texts]
        return [[1.0 + sum(each), *each] for each in counts]


async def test_search_by_meaning_embeds_each_text_once_within_its_budget(store):
    embedder = Letters()
    ask = {"embedder": embedder, "now_ns": NOW_NS, "limit": 2}
    first = await store.search_by_meaning("p", "a refund", budget=3, **ask)
    assert (first.texts, first.covered, first.embedded) == (8, 3, 3)
    second = await store.search_by_meaning("p", "refund refund", **ask)
    assert (second.texts, second.covered, second.embedded) == (8, 8, 5)
    assert int(second.items[0]["id"], 16) in {2, 3}
    assert second.items[0]["similarity"] >= second.items[1]["similarity"]
    third = await store.search_by_meaning("p", "refund", filter="user = ana", **ask)
    assert (third.texts, third.embedded) == (6, 0)
    assert len(embedder.asked) == len(set(embedder.asked)) == 8 + 3
    assert (await store.search_by_meaning("nothing", "refund", **ask)).items == []


async def whole(pieces):
    return b"".join([piece async for piece in pieces])


async def test_export_as_json_lines_and_parquet(store):
    lines = (await whole(store.export_traces("p", "jsonl", now_ns=NOW_NS))).splitlines()
    assert [int(json.loads(line)["id"], 16) for line in lines] == [4, 3, 2, 1]
    assert json.loads(lines[1]) == await store.get_trace("p", f"{3:032x}")
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(io.BytesIO(await whole(store.export_traces("p", "parquet", filter="user = ana", now_ns=NOW_NS))))
    assert (table.num_rows, set(table.column("user").to_pylist())) == (6, {"ana"})
    assert json.loads(table.column("input").to_pylist()[-2]) == {"question": "When do you open?"}
    assert await whole(store.export_traces("nobody", "jsonl", now_ns=NOW_NS)) == b""


def read_otlp(line):
    tally = Tally()
    return list(read_spans(parse_traces(line, form="json", tally=tally), tally, now_ns=NOW_NS))


async def test_otlp_that_was_exported_and_taken_in_is_the_same_tree(store, tmp_path):
    lines = (await whole(store.export_traces("p", "otlp", now_ns=NOW_NS))).splitlines()
    spans = [read_span(raw, project="p") for line in lines for raw in read_otlp(line)]
    async with Telemetry(tmp_path) as elsewhere:
        await elsewhere.append(spans)
        for number in range(1, 5):
            there, here = await elsewhere.get_trace("p", f"{number:032x}"), await store.get_trace("p", f"{number:032x}")
            for trace in (there, here):
                trace.pop("scores")
                for span in trace["spans"]:
                    for name in ("dialect", "scores", "attributes"):
                        span.pop(name, None)
            assert there == here


async def test_a_tail_tells_what_comes(tmp_path):
    async with Telemetry(tmp_path) as telemetry:
        now = START_NS
        source = telemetry.tail("p", filter="output ~ refund", now_ns=now)
        waiting = asyncio.create_task(anext(source))
        for _ in range(5):
            await asyncio.sleep(0)
        for number in (1, 2, 3):
            await telemetry.append(
                [structs.replace(each, project="p") for each in TRACES if each.trace_id == f"{number:032x}"],
                received_ns=now + number,
            )
            await telemetry.flush()
        async with asyncio.timeout(20):
            found, missed = await waiting
        assert ([int(each["id"], 16) for each in found], missed) in (([2], 0), ([3], 0), ([2, 3], 0), ([3, 2], 0))
        await source.aclose()
