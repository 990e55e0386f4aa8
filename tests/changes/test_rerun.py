"""What a plan says would run again is what the evaluation then runs."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.anyio

DOCS = {"with.md": "# with\nA with statement enters a context manager.", "try.md": "# try\nA try statement catches errors."}
ROWS = [
    {"id": "q1", "question": "What does with do?", "answer": "context"},
    {"id": "q2", "question": "What does try do?", "answer": "errors"},
    {"id": "q3", "question": "What is a manager?", "answer": "manager"},
]
APP = """\
kind: model
name: local
provider: test
reply: "{{input}} context"
---
kind: embedder
name: words
provider: test
---
kind: index
name: docs
source: docs/
embed: embedder/words
---
kind: prompt
name: answer
text: "Answer {{question}} from {{context}}."
---
kind: chain
name: handbook
inputs: {question: string}
steps:
  - {id: find, retrieve: {index: index/docs, query: "{{question}}", k: 1}}
  - {id: answer, prompt: prompt/answer, model: model/local, with: {question: "{{question}}", context: "{{find}}"}}
output: "{{answer.text}}"
---
kind: dataset
name: questions
path: questions.jsonl
roles: {id: id, input: question, reference: answer}
"""


def files(write, app=APP, *, rows=ROWS, docs=DOCS):
    write(app)
    for name, content in docs.items():
        write(**{f"docs__{name.replace('.md', '_md')}": content})
    write(**{"questions.jsonl": "".join(json.dumps(each) + "\n" for each in rows)})


async def evaluate(client):
    return await client.evaluate("chain/handbook", data="dataset/questions", scorers=["contains"])


async def predicted_and_done(client):
    """The plan's figures, and the counters of the evaluation after its apply."""
    made = await client.plan()
    applied = await client.apply()
    for job in applied["jobs"]:
        await client.finish(job)
    done = await evaluate(client)
    assert done["errors"] == 0
    return made["rerun"], done["calls"]


@pytest.fixture
async def evaluated(client, write):
    files(write)
    applied = await client.apply()
    for job in applied["jobs"]:
        await client.finish(job)
    assert (await client.plan())["rerun"] is None
    done = await evaluate(client)
    assert done["calls"] == {"model": 3, "embed": 3, "retrieve": 3, "tool": 0}
    return client


async def test_a_changed_prompt_runs_every_generation_and_no_search(evaluated, write):
    files(write, APP.replace("Answer {{question}}", "Please answer {{question}}"))
    rerun, calls = await predicted_and_done(evaluated)
    assert rerun["bound"] == "exact"
    assert (rerun["generations"], rerun["searches"], rerun["embeddings"], rerun["samples"]) == (3, 0, 0, 3)
    assert calls == {"model": 3, "embed": 0, "retrieve": 0, "tool": 0}
    assert rerun["cost"] == 0.0
    assert rerun["models"] == ["model/local"]
    assert rerun["time_ms"] > 0


async def test_a_row_more_runs_that_row_alone(evaluated, write):
    files(write, rows=[{"id": "q0", "question": "What is new?", "answer": "context"}, *ROWS])
    rerun, calls = await predicted_and_done(evaluated)
    assert rerun["bound"] == "at_most"  # what its search finds may make a question that was asked before
    assert (rerun["generations"], rerun["searches"], rerun["embeddings"], rerun["samples"]) == (1, 1, 1, 1)
    assert calls == {"model": 1, "embed": 1, "retrieve": 1, "tool": 0}


async def test_going_back_runs_nothing(evaluated, write):
    files(write, APP.replace("Answer {{question}}", "Please answer {{question}}"))
    await evaluated.apply()
    await evaluate(evaluated)
    files(write)
    rerun, calls = await predicted_and_done(evaluated)
    assert (rerun["generations"], rerun["samples"], rerun["bound"]) == (0, 0, "exact")
    assert not any(calls.values())


async def test_a_changed_document_is_the_most_that_may_run(evaluated, write):
    files(write, docs={**DOCS, "try.md": "# try\nA try statement handles exceptions."})
    rerun, calls = await predicted_and_done(evaluated)
    assert rerun["bound"] == "at_most"
    assert (rerun["generations"], rerun["searches"]) == (3, 3)
    assert rerun["chunks"] == 1
    assert calls["retrieve"] == 3
    assert calls["model"] <= 3


async def test_rows_with_one_question_are_the_most_that_may_run(evaluated, write):
    twice = [{"id": "q8", "question": "Same?", "answer": "context"}, {"id": "q9", "question": "Same?", "answer": "context"}]
    files(write, rows=[*ROWS, *twice])
    rerun, calls = await predicted_and_done(evaluated)
    assert rerun["bound"] == "at_most"
    assert rerun["generations"] == 2
    assert 1 <= calls["model"] <= 2


async def test_what_changes_nothing_evaluated_has_nothing_to_run_again(evaluated, write):
    files(write, APP + "---\nkind: prompt\nname: other\ntext: Hello\n")
    made = await evaluated.plan()
    assert made["rerun"] is None
