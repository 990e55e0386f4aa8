"""What a plan says of every kind, what stays on old content, and that an apply does what was seen and nothing else."""

from __future__ import annotations

import anyio
import pytest

from tidemill.core.errors import Conflict

pytestmark = pytest.mark.anyio

MODEL = "kind: model\nname: local\nprovider: test\nparams: {temperature: 0.2}\n"
PROMPT = "kind: prompt\nname: answer\ntext: Answer {{question}} from the context only.\n"
CHAIN = """\
kind: chain
name: handbook
inputs: {question: string}
steps:
  - {id: answer, prompt: prompt/answer, model: model/local, with: {question: "{{question}}"}}
output: "{{answer.text}}"
"""


def app(*documents):
    return "---\n".join(documents)


APP = app(MODEL, PROMPT, CHAIN)
DATA = "kind: dataset\nname: d\nroles: {id: id, input: q, reference: a}\nrows: "


def changes(made):
    return {each["ref"]: each for each in made["changes"]}


async def details(client, write, before, after):
    write(before)
    await client.apply()
    write(after)
    return {ref: list(each["details"]) for ref, each in changes(await client.plan()).items()}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (PROMPT, PROMPT.replace("only.", "only; be brief."), ["Answer {{question}} from the context only{+; be brief+}."]),
        (
            PROMPT,
            PROMPT + "examples: [{input: a, output: b}]\noutput_schema: {type: object, required: [a]}\n",
            ['+ examples [{"input":"a","output":"b"}]', '+ output_schema {"type":"object","required":["a"]}'],
        ),
        (MODEL, MODEL.replace("0.2", "0.7"), ["params.temperature 0.2 -> 0.7"]),
        (
            DATA + "[{id: x, q: one, a: A}, {id: y, q: two, a: B}]\n",
            DATA + "[{id: y, q: two, a: C}, {id: z, q: six, a: D}]\n",
            ["rows 2: 1 added, 1 removed, 1 changed", "+ z: six", "- x: one", "~ y: a B -> C"],
        ),
        (
            "kind: gate\nname: g\nchecks: [{metric: m, min: 0.7}]\n",
            "kind: gate\nname: g\nchecks: [{metric: m, min: 0.8}]\ncorrection: none\n",
            ["checks.m.min 0.7 -> 0.8", "correction holm -> none"],
        ),
        (
            "kind: guardrail\nname: g\n'on': input\ncheck: {denylist: {words: [a]}}\n",
            "kind: guardrail\nname: g\n'on': input\ncheck: {denylist: {words: [a, b]}}\naction: redact\n",
            ["checks.denylist.options.words: {+b+}", "action block -> redact"],
        ),
    ],
)
async def test_what_changed_as_a_person_reads_it(client, write, before, after, told):
    (found,) = (await details(client, write, before, after)).values()
    assert found == told


async def test_documents_are_told_by_name(client, write):
    index = "kind: index\nname: docs\nsource: docs/\n"
    write(docs__a_md="# A", docs__b_md="# B")
    write(index)
    await client.apply()
    write(docs__a_md="# A\n\nMore.", docs__c_md="# C")
    change = changes(await client.plan())["index/docs"]
    assert change["details"] == ["documents 2 -> 3: 1 added, 0 removed, 1 changed", "+ c.md", "~ a.md"]
    assert {name: change["documents"][name] for name in ("added", "removed", "changed")} == {
        "added": 1, "removed": 0, "changed": 1
    }  # fmt: skip
    assert [each["id"] for each in change["documents"]["sample"]] == ["c.md", "a.md"]


async def test_a_tool_whose_contract_changed_says_whether_it_breaks(client, write, settings, monkeypatch):
    monkeypatch.syspath_prepend(str(settings.root))
    tool = "kind: tool\nname: look\npython: own_tools:look\neffects: read\n"
    source = settings.root / "own_tools.py"
    source.write_text("def look(city: str, days: int = 1) -> str:\n    return city\n")
    write(tool)
    await client.apply()
    source.write_text("def look(city: str, unit: str, days: int = 1) -> str:\n    return city\n")
    write(tool.replace("read", "write"))
    change = changes(await client.plan())["tool/look"]
    assert change["contract"] == "breaking"
    assert change["details"] == [
        "source own_tools.py: def look(city: str, {+unit: str, +}days: int = 1) -> str:",
        "breaking: + parameter unit (required, string)",
        "breaking: effects read -> write",
    ]
    source.write_text("def look(city: str, days: int = 1, note: str = '') -> str:\n    return city\n")
    write(tool)
    change = changes(await client.plan())["tool/look"]
    assert change["contract"] == "compatible"
    assert "compatible: + parameter note (optional, string)" in change["details"]


async def test_steps_are_told_by_their_id_and_references_by_their_versions(client, write):
    write(APP)
    await client.apply()
    step = "prompt: prompt/answer, model: model/local"
    more = CHAIN.replace(step, f"{step}, retries: 2").replace(
        "steps:\n", f"steps:\n  - {{id: first, {step}, with: {{question: x}}}}\n"
    )
    write(app(MODEL.replace("0.2", "0.7"), PROMPT, more))
    change = changes(await client.plan())["chain/handbook"]
    assert change["details"] == [
        "+ step first (prompt/answer)", "~ step answer: + retries 2", "model/local v1 -> v2"
    ]  # fmt: skip
    (moved,) = change["references"]
    assert (moved["ref"], moved["before"], moved["after"]) == ("model/local", "v1", "v2")


async def test_a_step_that_moved_is_told_as_moved(client, write):
    two = CHAIN.replace("output:", "  - {id: other, prompt: prompt/answer, model: model/local, with: {question: x}}\noutput:")
    steps = [each for each in two.splitlines() if each.startswith("  - ")]
    swapped = two.replace("\n".join(steps), "\n".join(reversed(steps)))
    told = await details(client, write, app(MODEL, PROMPT, two), app(MODEL, PROMPT, swapped))
    assert len(told["chain/handbook"]) == 1
    assert "moved" in told["chain/handbook"][0]


async def test_what_stays_on_old_content_is_named(client, write):
    write(APP)
    await client.apply()
    await client.deploy("chain/handbook", to="endpoint/handbook")
    await client.set_alias("prompt/answer@v1", "production")
    write(APP.replace("context only", "context"))
    made = await client.plan()
    down = made["downstream"]
    (release,), (endpoint,) = down["releases"], down["endpoints"]
    assert release["digest"] == endpoint["release"]
    assert (endpoint["ref"], endpoint["because"]) == ("endpoint/handbook", ["chain/handbook@v1", "prompt/answer@v1"])
    assert {each["ref"] for each in down["aliases"]} == {"prompt/answer@production", "release/handbook@latest"}
    assert down["evaluations"] == []
    write(APP)
    unchanged = await client.plan()
    assert not any(unchanged["downstream"].values())


async def test_a_plan_that_somebody_saw_is_applied_as_it_was_or_not_at_all(client, write):
    write(APP)
    seen = (await client.plan())["digest"]
    applied = await client.apply(expected=seen)
    assert len(applied["changes"]) == 3
    write(APP.replace("0.2", "0.5"))
    stale = (await client.plan())["digest"]
    write(APP.replace("0.2", "0.9"))
    await client.apply()
    write(APP.replace("0.2", "0.5"))
    with pytest.raises(Conflict, match="changed since this plan"):
        await client.apply(expected=stale)
    assert (await client.artifact("model/local"))["spec"]["params"] == {"temperature": 0.9}
    assert (await client.apply(expected=(await client.plan())["digest"]))["changes"]


async def test_two_applies_of_what_both_saw_at_once_end_with_one_done_and_one_told(client, write):
    write(APP)
    await client.apply()
    write(APP.replace("0.2", "0.5"))
    seen = (await client.plan())["digest"]
    ended = []

    async def apply():
        try:
            ended.append(len((await client.apply(expected=seen))["changes"]))
        except Conflict:
            ended.append("conflict")

    async with anyio.create_task_group() as group:
        group.start_soon(apply)
        group.start_soon(apply)
    assert sorted(map(str, ended)) == ["2", "conflict"]
    assert len(await client.versions("model/local")) == 2
    assert (await client.apply())["changes"] == []


async def test_rows_that_were_erased_are_told_as_such(client, write, settings):
    rows = "kind: dataset\nname: d\nroles: {input: q}\nrows: [{q: one}]\n"
    write(rows)
    await client.apply()
    digest = (await client.artifact("dataset/d"))["blobs"]["rows"].removeprefix("sha256:")
    (settings.data / "blobs" / "default" / digest[:2] / digest[2:]).unlink()
    write(rows.replace("one", "two"))
    (change,) = (await client.plan())["changes"]
    assert "cannot be compared" in change["details"][-1]
