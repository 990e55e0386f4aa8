"""An artifact's past, and which version brought each line of a prompt."""

from __future__ import annotations

import pytest

from tidemill.core.errors import NotFound
from tidemill.prompts.blame import blame

pytestmark = pytest.mark.anyio

FIRST = (
    'kind: prompt\nname: answer\ntext: "One\\nTwo\\nThree"\nmodel: model/local\n---\nkind: model\nname: local\nprovider: test\n'
)
SECOND = FIRST.replace("Two", "Zwei")
THIRD = FIRST.replace("Three", "Three\\nFour")


async def test_history_says_who_made_what_from_what_and_where_it_is(client, write):
    for text in (FIRST, SECOND, FIRST, THIRD):
        write(text)
        await client.apply()
    await client.set_alias("prompt/answer@v1", "production", why="it reads better")
    await client.deploy("prompt/answer", to="endpoint/answers")
    third, second, first = await client.history("prompt/answer")
    assert [each["version"] for each in (third, second, first)] == ["v3", "v2", "v1"]
    assert [each["parent"] for each in (third, second, first)] == ["v1", "v1", None]
    assert second["summary"] == "[-Two-]{+Zwei+}"
    assert third["aliases"] == ["latest"]
    assert first["aliases"] == ["production"]
    assert (first["moves"][0]["alias"], first["moves"][0]["why"]) == ("production", "it reads better")
    assert [each["alias"] for each in first["moves"]] == ["production", "latest", "latest"]
    assert third["served"] == ["endpoint/answers"]
    assert third["by"]
    assert first["summary"] == "new"


async def test_history_comes_in_pages_that_stay_while_versions_are_added(client, write):
    for text in (FIRST, SECOND, THIRD):
        write(text)
        await client.apply()
    line = client._line
    page = await line.send("GET", "/artifacts/prompt/answer/history", params={"limit": 1})
    assert [each["version"] for each in page["items"]] == ["v3"]
    write(FIRST.replace("One", "Eins"))
    await client.apply()
    rest = await line.send("GET", "/artifacts/prompt/answer/history", params={"limit": 5, "cursor": page["next"]})
    assert [each["version"] for each in rest["items"]] == ["v2", "v1"]
    assert rest["next"] is None
    with pytest.raises(NotFound):
        await client.history("prompt/nobody")


async def test_blame_names_the_version_of_each_line(client, write):
    for text in (FIRST, SECOND, FIRST, THIRD):
        write(text)
        await client.apply()
    found = await client.blame("prompt/answer")
    assert [(each["text"], each["version"]) for each in found["lines"]] == [
        ("One", "v1"), ("Two", "v1"), ("Three", "v1"), ("Four", "v3")
    ]  # fmt: skip
    assert found["ref"] == "prompt/answer@v3"
    older = await client.blame("prompt/answer@v2")
    assert [each["version"] for each in older["lines"]] == ["v1", "v2", "v1"]


def spec(*messages):
    return {"messages": [{"role": role, "content": text} for role, text in messages]}


def test_a_line_keeps_its_origin_wherever_it_moves_and_whatever_stands_beside_it():
    versions = [
        ("c", spec(("system", "Be kind.\nBe brief."), ("user", "Answer.\n\nAsk."))),
        ("b", spec(("system", "Be brief."), ("user", "Answer."))),
        ("a", spec(("user", "Answer."))),
    ]
    assert [(each.line.role, each.line.text, each.origin) for each in blame(versions)] == [
        ("system", "Be kind.", "c"),
        ("system", "Be brief.", "b"),
        ("user", "Answer.", "a"),
        ("user", "", "c"),
        ("user", "Ask.", "c"),
    ]


def test_a_line_of_another_role_is_another_line_and_one_that_came_back_is_new():
    assert [each.origin for each in blame([("b", spec(("system", "x"))), ("a", spec(("user", "x")))])] == ["b"]
    gone = [("c", spec(("user", "x\ny"))), ("b", spec(("user", "y"))), ("a", spec(("user", "x\ny")))]
    assert [each.origin for each in blame(gone)] == ["c", "a"]
    assert blame([]) == []


def test_parts_of_a_message_are_lines():
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image", "url": "a.png"}]}]}
    assert [each.line.text for each in blame([("a", parts)])] == ["Look:", '{"type":"image","url":"a.png"}']
