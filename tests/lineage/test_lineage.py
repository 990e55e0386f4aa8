"""Lineage through the whole application: a document was withdrawn, and what used it is told."""

from __future__ import annotations

import os
import uuid

import jsonschema
import pytest

from tidemill.cli.lineage_tree import lineage_trees
from tidemill.client import AsyncClient
from tidemill.core.errors import Denied, Invalid, NotFound, TidemillError
from tidemill.core.settings import Settings

pytestmark = pytest.mark.anyio
APP = """
kind: index
name: handbook
source: {folder: docs}
search: {mode: fulltext, k: 1}
---
kind: index
name: other
source: {folder: more}
search: {mode: fulltext, k: 1}
---
kind: prompt
name: answer
text: "Answer {{question}} from {{context}}"
---
kind: model
name: local
provider: test
reply: "As the handbook says."
---
kind: chain
name: handbook
inputs: {question: string}
steps:
  - {id: find, retrieve: {index: index/handbook, query: "{{question}}", k: 1, mode: fulltext}}
  - {id: look, retrieve: {index: index/other, query: "{{question}}", k: 1, mode: fulltext}}
  - {id: answer, prompt: prompt/answer, model: model/local, with: {question: "{{question}}", context: "{{find}}{{look}}"}}
output: "{{answer.text}}"
---
kind: dataset
name: questions
rows: [{q: "who opens the lock?", a: "The harbour master"}]
roles: {input: q, reference: a}
"""
FILES = {
    "docs/lighthouse.rst": "Light\n=====\n\nThe lighthouse lamps burn whale oil.\n",
    "docs/harbour.rst": "Harbour\n=======\n\nThe harbour master opens the lock at noon.\n",
    "more/lighthouse.rst": "Keepers\n=======\n\nKeepers of lamps are paid in herring, and harbour masters in coin at noon.\n",
}
# What OpenLineage 2-0-2 asks of a run event.
_FACETS = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "required": ["_producer", "_schemaURL"],
        "properties": {"_producer": {"type": "string", "format": "uri"}, "_schemaURL": {"type": "string", "format": "uri"}},
    },
}
_NAMED = {
    "type": "object",
    "required": ["namespace", "name"],
    "properties": {"namespace": {"type": "string"}, "name": {"type": "string"}, "facets": _FACETS},
}
RUN_EVENT = {
    "type": "object",
    "required": ["eventTime", "producer", "schemaURL", "run", "job"],
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": {"type": "string", "format": "uri"},
        "schemaURL": {"const": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"},
        "run": {
            "type": "object",
            "required": ["runId"],
            "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": _FACETS},
        },
        "job": _NAMED,
        "inputs": {"type": "array", "items": _NAMED},
        "outputs": {"type": "array", "items": _NAMED},
    },
}


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
async def told(tmp_path_factory):
    """A client, and what was asked: the light three times, the harbour once, by users; both documents by an evaluation."""
    root = tmp_path_factory.mktemp("lineage")
    (root / "tidemill").mkdir()
    (root / "tidemill.toml").touch()
    (root / "tidemill" / "app.yaml").write_text(APP, "utf-8")
    for name, content in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith("TIDEMILL_")]:
            patch.delenv(name)
        async with AsyncClient(settings=Settings(root=root, data=root / ".tidemill", paths=("tidemill",))) as client:
            applied = await client.apply()
            for job in applied.get("jobs", ()):
                await client.finish(job if isinstance(job, str) else job["job"])
            await client.deploy("chain/handbook", to="endpoint/handbook")
            runs = [
                await client.run("chain/handbook", {"question": question})
                for question in ("lighthouse lamps 1", "lighthouse lamps 2", "lighthouse lamps 3", "harbour master lock noon")
            ]
            await client.add_feedback(runs[0]["trace"], "correction", "Whale oil.", user="ann", id="f1")
            evaluation = await client.evaluate("chain/handbook", data="dataset/questions", scorers=["exact_match"])
            await client.samples_from_traces("dataset/fixes", labelled=True)
            yield client, runs, evaluation


async def test_impact_tells_exactly_which_requests_used_the_document(told):
    client, runs, _ = told
    found = await client.lineage_impact("index/handbook#lighthouse.rst")
    assert found["requests"]["used"]["requests"] == 3
    assert found["requests"]["served"]["requests"] == 4
    assert set(found["requests"]["newest"]) == {f"trace/{each['trace']}" for each in runs[:3]}
    assert found["endpoints"][0]["ref"] == "endpoint/handbook"
    assert found["endpoints"][0]["state"] == "live"
    assert [each["ref"] for each in found["releases"]] == ["release/handbook@v1"]
    assert found["counts"]["index"] == 1
    harbour = await client.lineage_impact("index/handbook#harbour.rst")
    assert (harbour["requests"]["used"]["requests"], harbour["requests"]["used"]["evaluated"]) == (1, 1)
    piece = await client.lineage_impact("index/handbook#lighthouse.rst#1")
    assert piece["requests"]["used"]["requests"] == 3


async def test_a_document_of_the_same_name_in_another_index_is_another(told):
    client, _, _ = told
    here = await client.lineage_impact("index/handbook#lighthouse.rst")
    there = await client.lineage_impact("index/other#lighthouse.rst")
    assert here["requests"]["used"]["requests"] == 3
    assert there["requests"]["used"]["requests"] == 4
    assert [each["ref"] for each in there["kinds"]["index"]] == ["index/other@v1"]


async def test_a_request_leads_to_what_answered_it_and_to_what_was_made_of_it(told):
    client, runs, _ = told
    up = await client.lineage(f"trace/{runs[0]['trace']}", direction="up")
    refs = {each["ref"] for each in up["nodes"]}
    assert {"release/handbook@v1", "index/handbook#lighthouse.rst", "index/other#lighthouse.rst", "prompt/answer@v1"} <= refs
    direct = {each["source"] for each in up["edges"] if each["target"] == f"trace/{runs[0]['trace']}"}
    assert direct == {"release/handbook@v1", "index/handbook#lighthouse.rst", "index/other#lighthouse.rst"}
    down = await client.lineage(f"trace/{runs[0]['trace']}", direction="down")
    assert {"feedback/f1", "dataset/fixes@v1"} <= {each["ref"] for each in down["nodes"]}
    said = await client.lineage("feedback/f1", direction="up", depth=2)
    assert {f"trace/{runs[0]['trace']}", "release/handbook@v1"} <= {each["ref"] for each in said["nodes"]}
    back = await client.lineage("dataset/fixes", direction="up")
    assert {f"trace/{runs[0]['trace']}", "feedback/f1", "file/docs/lighthouse.rst"} <= {each["ref"] for each in back["nodes"]}


async def test_the_shortest_line_goes_both_ways(told):
    client, runs, evaluation = told
    path = await client.lineage_path("prompt/answer", "endpoint/handbook")
    names = ["prompt/answer@v1", "chain/handbook@v1", "release/handbook@v1", "endpoint/handbook"]
    assert [each["ref"] for each in path["nodes"]] == names
    assert (path["answer"], path["direction"]) == ("found", "down")
    assert (await client.lineage_path("endpoint/handbook", "prompt/answer"))["direction"] == "up"
    to_trace = await client.lineage_path("file/docs/lighthouse.rst", f"trace/{runs[0]['trace']}")
    assert [each["kind"] for each in to_trace["nodes"]] == ["file", "document", "trace"]
    none = await client.lineage_path(f"evaluation/{evaluation['id']}", "prompt/answer")
    assert none["direction"] == "up"


async def test_versions_roll_up_and_kinds_narrow(told):
    client, _, _ = told
    found = await client.lineage("prompt/answer", direction="down", by="artifact", kinds=["endpoint"])
    assert {each["ref"] for each in found["nodes"]} == {"prompt/answer", "endpoint/handbook"}
    assert [(each["source"], each["relation"], each["target"]) for each in found["edges"]] == [
        ("prompt/answer", "via", "endpoint/handbook")
    ]
    roots = await client.lineage("chain/handbook", direction="up", ends=True)
    kinds = {each["kind"] for each in roots["nodes"]}
    assert kinds == {"chain", "file"}


async def test_a_cut_answer_says_so_and_goes_on(told):
    client, _, _ = told
    whole = await client.lineage("endpoint/handbook", direction="up")
    met, cursor = [], None
    while True:
        part = await client.lineage("endpoint/handbook", direction="up", limit=3, cursor=cursor)
        met += [each["ref"] for each in part["nodes"]]
        assert part["truncated"] == (part["next"] is not None) == (part["note"] is not None)
        cursor = part["next"]
        if cursor is None:
            break
    assert met == [each["ref"] for each in whole["nodes"]]


async def test_events_out_are_what_the_specification_asks_for(told):
    client, _, evaluation = told
    events = [each async for each in client.openlineage()]
    for each in events:
        jsonschema.validate(each, RUN_EVENT, format_checker=jsonschema.FormatChecker())
        uuid.UUID(each["run"]["runId"])
    kinds = {each["job"]["facets"]["jobType"]["jobType"] for each in events}
    assert kinds >= {"INDEX", "EVALUATION", "RELEASE", "DEPLOYMENT"}
    assert [each["eventTime"] for each in events] == sorted(each["eventTime"] for each in events)
    ended = [each for each in events if each["run"]["runId"] == evaluation["id"]]
    assert [each["eventType"] for each in ended] == ["START", "COMPLETE"]
    inputs = {each["name"]: each["facets"] for each in ended[1]["inputs"]}
    assert inputs["dataset/questions"]["version"]["datasetVersion"] == "v1"
    assert inputs["dataset/questions"]["tidemill_digest"]["digest"].startswith("sha256:")
    small = [each async for each in _pages(client, limit=1)]
    assert small == events
    future = [each async for each in client.openlineage(since="2999-01-01T00:00:00Z")]
    assert future == []


async def _pages(client, *, limit):
    cursor = None
    while True:
        page = await client._line.send("GET", "/lineage/openlineage", params={"limit": limit, "cursor": cursor})
        for each in page["items"]:
            yield each
        cursor = page["next"]
        if cursor is None:
            return


def event(**changes):
    made = {
        "eventType": "COMPLETE",
        "eventTime": "2026-11-01T10:00:00Z",
        "run": {"runId": "01936f5e-0000-7000-8000-000000000001"},
        "job": {"namespace": "dbt", "name": "support.questions"},
        "inputs": [{"namespace": "postgres://warehouse", "name": "public.tickets"}],
        "outputs": [{"namespace": "tidemill://default", "name": "dataset/questions"}],
        "producer": "https://example.org/dbt",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }
    return {**made, **changes}


async def test_a_table_elsewhere_is_upstream_of_an_evaluation(told):
    client, _, evaluation = told
    good = event()
    assert await client.send_openlineage([good, good]) == {"kept": 1, "known": 1, "refused": []}
    assert (await client.send_openlineage([good]))["known"] == 1
    up = await client.lineage(f"evaluation/{evaluation['id']}", direction="up")
    refs = {each["ref"] for each in up["nodes"]}
    assert {
        "external/postgres://warehouse#public.tickets",
        "external/job:dbt#support.questions",
        "dataset/questions@v1",
    } <= refs
    symlinked = event(
        run={"runId": str(uuid.uuid4())},
        outputs=[
            {
                "namespace": "s3://bucket",
                "name": "questions.jsonl",
                "facets": {"symlinks": {"identifiers": [{"namespace": "tidemill://default", "name": "dataset/questions"}]}},
            }
        ],
    )
    assert (await client.send_openlineage([symlinked]))["kept"] == 1
    path = await client.lineage_path("external/s3://bucket#questions.jsonl", f"evaluation/{evaluation['id']}")
    assert [each["relation"] for each in path["edges"]] == ["same_as", "judged_on"]


async def test_each_bad_event_is_refused_with_its_reason_and_the_rest_is_kept(told):
    client, _, _ = told
    ours = [{"namespace": "tidemill://default", "name": "dataset/question"}]
    bad = {
        "an event is an object": 7,
        "only run events are taken": {"job": {}},
        "is not a UUID": event(run={"runId": "x"}),
        "has no time zone": event(eventTime="2026-11-01T10:00:00"),
        "is not a date": event(eventTime="yesterday"),
        "is none of START": event(eventType="DONE"),
        "producer is missing": event(producer=None),
        "Did you mean dataset/questions?": event(outputs=ours),
        "inputs.0 is an object": event(inputs=[1]),
        "a list of at most 1000": event(inputs=[{"namespace": "a", "name": str(n)} for n in range(1001)]),
        "larger than 256 KiB": event(more="x" * 300_000),
        "of this project itself": event(job={"namespace": "tidemill://default", "name": "evaluate/handbook"}),
        "holds a character": event(inputs=[{"namespace": "a", "name": "b\x00"}]),
        "longer than 2000": event(inputs=[{"namespace": "a", "name": "b" * 2001}]),
    }
    good = event(run={"runId": str(uuid.uuid4())}, inputs=[{"namespace": "tidemill://elsewhere", "name": "prompt/secret"}])
    answer = await client.send_openlineage([*bad.values(), good])
    assert answer["kept"] == 1
    reasons = {each["event"]: each["reason"] for each in answer["refused"]}
    for number, reason in enumerate(bad):
        assert reason in reasons[number]
    with pytest.raises(Invalid):
        await client.send_openlineage([good] * 1001)


async def test_a_ring_through_another_system_ends(told):
    client, _, _ = told
    x, y = [{"namespace": "a", "name": "x"}], [{"namespace": "a", "name": "y"}]
    there = event(run={"runId": str(uuid.uuid4())}, job={"namespace": "b", "name": "i"}, inputs=x, outputs=y)
    back = event(run={"runId": str(uuid.uuid4())}, job={"namespace": "b", "name": "j"}, inputs=y, outputs=x)
    await client.send_openlineage([there, back])
    found = await client.lineage("external/a#x", direction="down")
    assert {each["ref"] for each in found["nodes"]} == {
        "external/a#x", "external/a#y", "external/job:b#i", "external/job:b#j"
    }  # fmt: skip
    assert any("see above" in line for line in lineage_trees(found))


@pytest.mark.parametrize(
    ("ref", "error", "hint"),
    [
        ("prompt/anser", NotFound, "Did you mean prompt/answer?"),
        ("index/handbook#lighthose.rst", NotFound, "Did you mean index/handbook#lighthouse.rst?"),
        ("index/handbook#lighthouse.rst#99", NotFound, "See the document: tidemill lineage index/handbook#lighthouse.rst"),
        ("trace/zz", Invalid, "A trace id is 32 hexadecimal digits"),
        ("trace/" + "0" * 32, NotFound, "Type: tidemill traces list"),
        ("feedback/none", NotFound, "List it: tidemill feedback list"),
        ("other:prompt/answer", Denied, "Apply it in 'default'"),
        ("nonsense", Invalid, "Write prompt/answer@v3"),
    ],
)
async def test_what_is_unknown_is_said(told, ref, error, hint):
    client, _, _ = told
    with pytest.raises(error) as raised:
        await client.lineage(ref)
    assert raised.value.hint.startswith(hint)


async def test_a_cursor_of_another_list_is_refused(told):
    client, _, _ = told
    foreign = ("?of=prompt/answer&direction=up&cursor=x", "/openlineage?cursor=1.99.x", "?of=prompt/answer&cursor=1.1.1")
    for path in foreign:
        with pytest.raises(TidemillError) as raised:
            await client._line.send("GET", f"/lineage{path}")
        assert raised.value.code == "invalid"


async def test_a_name_cannot_rewrite_the_terminal(told):
    client, _, _ = told
    hostile = event(run={"runId": str(uuid.uuid4())}, inputs=[{"namespace": "a", "name": "\x1b[2Jx\rgone"}], outputs=[])
    await client.send_openlineage([hostile])
    found = await client.lineage("external/a#\x1b[2Jx\rgone")
    assert all("\x1b[2J" not in line and "\r" not in line for line in lineage_trees(found))


async def test_the_tree_draws_a_thing_once_and_points_at_it_elsewhere(told):
    client, _, _ = told
    lines = lineage_trees(await client.lineage("endpoint/handbook", direction="up"))
    assert lines[0].startswith("endpoint/handbook")
    assert lines[3].startswith("└─ release/handbook@v1")
    files = [line for line in lines if "file/tidemill/app.yaml" in line]
    assert len(files) > 1
    assert sum("see " in line for line in files) == 0  # it has nothing above it to be seen elsewhere
    assert max(len(line) for line in lines) <= 120
