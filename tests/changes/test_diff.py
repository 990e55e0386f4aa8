"""What differs between two references, and between two points in time."""

from __future__ import annotations

import pytest

from tidemill.core.errors import Invalid, NotFound

pytestmark = pytest.mark.anyio

APP = """\
kind: model
name: local
provider: test
params: {temperature: 0.2}
---
kind: prompt
name: answer
messages:
  - {role: system, content: "You are kind.\\nBe brief."}
  - {role: user, content: "Answer {{question}}."}
---
kind: chain
name: handbook
inputs: {question: string}
steps:
  - {id: answer, prompt: prompt/answer, model: model/local, with: {question: "{{question}}"}}
output: "{{answer.text}}"
"""
WARM = APP.replace("temperature: 0.2", "temperature: 0.7")
KINDER = WARM.replace("Be brief.", "Be brief and exact.")


@pytest.fixture
async def applied(client, write):
    """Three applies: the second changes the model, the third the prompt; the first release is served."""
    for number, text in enumerate((APP, WARM, KINDER)):
        write(text)
        await client.apply()
        if number == 0:
            await client.deploy("chain/handbook", to="endpoint/handbook")
    return client


def told(found):
    return {each["ref"]: (each["action"], each["before"], each["after"], list(each["details"])) for each in found["changes"]}


async def test_two_versions(applied):
    found = await applied.diff("model/local@v1", "model/local@v2")
    assert (found["from"], found["to"]) == ("model/local@v1", "model/local@v2")
    assert told(found) == {"model/local": ("update", "v1", "v2", ["params.temperature 0.2 -> 0.7"])}
    assert found["changes"][0]["fields"] == [{"path": "params.temperature", "effect": "change", "before": 0.2, "after": 0.7}]


async def test_a_chain_names_the_references_that_moved_and_follows_them_when_asked(applied):
    shallow = told(await applied.diff("chain/handbook@v1", "chain/handbook"))
    assert shallow == {"chain/handbook": ("update", "v1", "v3", ["prompt/answer v1 -> v2", "model/local v1 -> v2"])}
    deep = told(await applied.diff("chain/handbook@v1", "chain/handbook", deep=True))
    assert deep.keys() == {"chain/handbook", "prompt/answer", "model/local"}
    assert deep["prompt/answer"][3] == ["system: Be brief{+ and exact+}."]


async def test_releases_and_what_an_endpoint_serves_component_by_component(applied):
    release = await applied.make_release("chain/handbook")
    found = await applied.diff("endpoint/handbook", release["digest"])
    assert told(found).keys() == {"chain/handbook", "prompt/answer", "model/local"}
    assert found["to"] == release["digest"]
    served = (await applied.endpoint("handbook"))["release"]
    assert found["from"] == served
    promised = await applied.release_diff(served, release["digest"])
    assert (promised["from"], promised["to"]) == (served, release["digest"])
    assert {each["ref"] for each in promised["changes"]} == {"chain/handbook", "prompt/answer", "model/local"}
    assert (await applied.diff(served, "chain/handbook@v1"))["changes"] == []


async def test_two_artifacts_of_one_kind(applied, write):
    write(KINDER + "---\nkind: model\nname: other\nprovider: test\nparams: {temperature: 0.9}\n")
    await applied.apply()
    found = await applied.diff("model/local", "model/other")
    assert told(found) == {"model/local -> model/other": ("update", "v2", "v1", ["params.temperature 0.7 -> 0.9"])}


async def test_connections(applied, write):
    write(
        KINDER + "---\nkind: connection\nname: a\nprovider: test\n---\nkind: connection\nname: b\nprovider: test\ntimeout: 5\n"
    )
    await applied.apply()
    found = await applied.diff("connection/a", "connection/b")
    assert told(found)["connection/a -> connection/b"][3] == ["timeout 60.0 -> 5.0"]
    assert (await applied.diff("connection/a", "connection/a"))["changes"] == []


CANNOT = (
    ("prompt/answer", "model/local", "is a prompt and"),
    ("evaluation/abc", "evaluation/abd", "is an evaluation"),
    ("what is this", "prompt/answer", "not a reference"),
    ("prompt/answer@v9", "prompt/answer", "no version v9"),
    ("connection/a", "model/local", "connection"),
    ("sha256:" + "0" * 64, "chain/handbook", "there is no release"),
)


async def test_what_cannot_be_compared_is_said(applied):
    for a, b, words in CANNOT:
        with pytest.raises((Invalid, NotFound), match=words):
            await applied.diff(a, b)


async def test_a_versions_digest_is_not_taken_for_a_releases(applied):
    digest = (await applied.artifact("model/local"))["digest"]
    with pytest.raises(Invalid, match="model/local@v2, not a release"):
        await applied.diff(digest, "chain/handbook")


async def test_what_it_led_to_then(applied):
    between = (await applied.artifact("prompt/answer@v2"))["created"]
    before = (await applied.artifact("chain/handbook@v1"))["created"]
    found = await applied.diff("chain/handbook", since=before)
    assert (found["from"], found["to"]) == ("chain/handbook@v1", "chain/handbook@v3")
    assert found["from_at"] == before
    same = await applied.diff("model/local", since=between)
    assert same["changes"] == []
    release = await applied.make_release("chain/handbook")
    then = (await applied.artifact(f"release/handbook@{release['digest']}"))["created"]
    await applied.deploy(release["digest"], to="endpoint/handbook")
    served = await applied.diff("endpoint/handbook", since=then)
    assert served["to"] == release["digest"]
    assert told(served).keys() == {"chain/handbook", "prompt/answer", "model/local"}


async def test_all_that_moved_in_the_project(applied):
    begun = (await applied.artifact("chain/handbook@v1"))["created"]
    await applied.set_alias("chain/handbook@v3", "production", why="it is better")
    found = await applied.diff(since=begun)
    rows = {each["ref"]: each for each in found["changes"]}
    assert rows.keys() == {"chain/handbook", "prompt/answer", "model/local", "chain/handbook@production", "endpoint/handbook",
                           "release/handbook"}  # fmt: skip
    assert (rows["chain/handbook"]["before"], rows["chain/handbook"]["after"]) == ("v1", "v3")
    assert rows["chain/handbook@production"]["why"] == "it is better"
    assert rows["chain/handbook@production"]["action"] == "create"


NO_TIMES = (
    ({"since": "whenever"}, "no moment"),
    ({"since": "2026-02-30"}, "no moment"),
    ({"until": "7d"}, "until needs since"),
    ({"since": "1d", "until": "2d"}, "not before"),
    ({"since": "7d", "zone": "Mars/Olympus"}, "not a time zone"),
    ({"a": "prompt/answer@v1", "since": "7d"}, "same at any time"),
    ({"a": "prompt/answer", "since": "7d"}, "led nowhere then"),
    ({"a": "endpoint/handbook", "since": "7d"}, "served nothing then"),
    ({"a": "prompt/answer"}, "two references, or a time"),
    ({"a": "prompt/answer", "b": "prompt/answer", "since": "7d"}, "too much"),
)


async def test_times_that_say_nothing_are_said(applied):
    for given, words in NO_TIMES:
        with pytest.raises((Invalid, NotFound), match=words):
            await applied.diff(**given)
