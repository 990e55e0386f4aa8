"""What a chain's document may say, and the one clear problem for each mistake."""

import pytest

from tidemill.core.errors import Invalid
from tidemill.flows.kinds import ChainKind
from tidemill.flows.shape import outputs_of, retrieve_steps, steps_reading

FIND = {"id": "find", "retrieve": {"index": "index/handbook", "query": "{{question}}"}}
ANSWER = {
    "id": "answer",
    "prompt": "prompt/answer",
    "model": "model/local",
    "with": {"question": "{{question}}", "context": "{{find}}"},
}


def body(*steps, **rest):
    return {"inputs": {"question": "string"}, "steps": list(steps), **rest}


def problems_of(document, project):
    with pytest.raises(Invalid) as caught:
        project.add("chain/handbook", **document) if project else ChainKind().parse(document, files=None)
    return [(each.where, each.message, each.hint) for each in caught.value.problems]


def test_canonical_form_and_references():
    parsed = ChainKind().parse(body(FIND, ANSWER), files=None)
    assert parsed.references == {
        "steps.0.retrieve.index": "index/handbook",
        "steps.1.prompt": "prompt/answer",
        "steps.1.model": "model/local",
    }
    assert parsed.spec["output"] == "{{answer.text}}"
    assert parsed.spec["inputs"] == [{"name": "question", "type": "string"}]
    assert outputs_of(parsed.spec) == {"find", "answer"}
    assert retrieve_steps(parsed.spec) == ("find",)
    assert steps_reading(parsed.spec, {"retrieved", "gold"}) == {"find"}


def test_the_mistake_of_the_handbook():
    wrong = {**ANSWER, "with": {"question": "{{question}}", "context": "{{contxt}}"}}
    assert problems_of(body(FIND, wrong), None) == [
        (
            "steps.1.with.context",
            'step "answer" uses {{contxt}}, which nothing provides',
            'did you mean {{find}}, the context from step "find"?  Inputs here: question, find',
        )
    ]


def test_a_misspelt_name_gets_the_nearest():
    wrong = {**ANSWER, "with": {"question": "{{qestion}}", "context": "{{fnd}}"}}
    assert [each[2] for each in problems_of(body(FIND, wrong), None)] == [
        "did you mean {{question}}, an input?  Inputs here: question, find",
        'did you mean {{find}}, from step "find"?  Inputs here: question, find',
    ]


@pytest.mark.parametrize(
    ("document", "where", "part"),
    [
        (body(FIND, ANSWER, stpes=[]), "stpes", "unknown key 'stpes' in a chain"),
        (body({**FIND, "whn": "true"}, ANSWER), "steps.0.whn", "unknown key 'whn' in a retrieve step"),
        ({"inputs": {}}, "steps", "steps is missing"),
        (body(), "steps", "there are no steps"),
        (body("find"), "steps.0", "a step is an object, not text"),
        (body({"id": "x"}), "steps.0", "the step does nothing"),
        (body({"id": "x", "promt": "prompt/a"}), "steps.0.promt", "unknown key 'promt'"),
        (body({**FIND, **ANSWER}), "steps.0", "does one thing"),
        (body({"prompt": "prompt/a", "model": "model/b"}), "steps.0", "id is missing"),
        (body(FIND, {**ANSWER, "id": "find"}), "steps.1.id", 'two steps have the id "find"'),
        (body({**FIND, "id": "question"}), "steps.0.id", '"question" is an input and a step'),
        (body({**FIND, "id": "a b"}), "steps.0.id", "is not a step's id"),
        (body({**FIND, "retrieve": {"index": "index/x"}}), "steps.0.retrieve", "query is missing"),
        (body({**FIND, "retrieve": {"index": "x/y", "query": "q"}}), "steps.0.retrieve.index", "index is needed here"),
        (body({**FIND, "retrieve": {"index": "i", "query": "q", "mode": "magic"}}), "steps.0.retrieve.mode", "not known"),
        (body({**FIND, "retrieve": {"index": "i", "query": "q", "k": 0}}), "steps.0.retrieve.k", "must be from 1"),
        (body({**FIND, "retrieve": {"index": "i", "query": "q", "k": "six"}}), "steps.0.retrieve.k", "not text"),
        (body({**FIND, "retrieve": {"index": "i", "query": "{{q"}}), "steps.0.retrieve.query", "never closed"),
        (body(FIND, {**ANSWER, "when": "find =="}), "steps.1.when", "is not CEL: column"),
        (body(FIND, {**ANSWER, "when": "fnd == null"}), "steps.1.when", 'step "answer" uses "fnd", which nothing provides'),
        (body(FIND, {**ANSWER, "retries": "two"}), "steps.1.retries", "needs a whole number, not text"),
        (body(FIND, {**ANSWER, "timeout": -1}), "steps.1.timeout", "must be from"),
        (body(FIND, {**ANSWER, "fallback": 3}), "steps.1.fallback", "a fallback is an object"),
        (body(FIND, {**ANSWER, "fallback": {"modle": "x"}}), "steps.1.fallback.modle", "unknown key 'modle'"),
        (body(FIND, {**ANSWER, "fallback": {"value": "{{nope}}"}}), "steps.1.fallback.value", "uses {{nope}}"),
        (body(FIND, ANSWER, output="{{anser.text}}"), "output", "the output uses {{anser.text}}, which nothing provides"),
        (body(FIND, ANSWER, output="{{answer.txt}}"), "output", 'but step "answer" gives no txt'),
        (body(FIND, ANSWER, inputs={"question": "strng"}), "inputs.question", "'strng' is not a type"),
        (body(FIND, ANSWER, guardrails=["prompt/x"]), "guardrails.0", "a guardrail is needed"),
        (body({"id": "b", "branch": []}), "steps.0.branch", "branch is empty"),
        (
            body({"id": "b", "branch": [{"steps": [FIND]}, {"steps": [{**FIND, "id": "other"}]}]}),
            "steps.0.branch.0",
            "when is missing",
        ),
        (
            body({"id": "b", "branch": [{"steps": [{**FIND, "when": "nope"}]}]}),
            "steps.0.branch.0.steps.0.when",
            'step "find" uses "nope"',
        ),
        (body({"id": "b", "branch": [{"steps": [FIND]}]}, ANSWER), "steps.1.with.context", "{{find}}, which nothing provides"),
    ],
)
def test_one_clear_problem(document, where, part):
    found = problems_of(document, None)
    assert len(found) == 1, found
    assert found[0][0] == where
    assert part in found[0][1]


def test_a_cycle_is_shown():
    steps = [
        {"id": "a", "function": "function/x", "with": {"v": "{{c}}"}},
        {"id": "b", "function": "function/x", "with": {"v": "{{a}}"}},
        {"id": "c", "function": "function/x", "with": {"v": "{{b}}"}},
    ]
    (found,) = problems_of(body(*steps), None)
    assert found[:2] == ("steps.0", "the steps form a cycle: a -> c -> b -> a")
    (found,) = problems_of(body({"id": "a", "function": "function/x", "with": {"v": "{{a}}"}}), None)
    assert found[1] == "the steps form a cycle: a -> a"


def test_all_mistakes_are_told_at_once():
    wrong = {**ANSWER, "retries": -1, "with": {"question": "{{", "context": "{{fnd}}"}}
    assert [each[0] for each in problems_of(body({**FIND, "k": 3}, wrong), None)] == [
        "steps.0.k",
        "steps.1.with.question",
        "steps.1.retries",
        "steps.1.with.context",
    ]


@pytest.fixture
def handbook(project):
    project.files.files["docs/a.md"] = b"# A\n\ntext\n"
    project.add("index/handbook", source="docs")
    project.add("prompt/answer", text="{{question}} {{context}}", variables={"question": "string", "context": "string"})
    project.add("model/local", provider="test")
    return project


def test_values_are_checked_against_what_a_prompt_takes(handbook):
    wrong = {**ANSWER, "with": {"question": "{{question}}", "contxt": "{{find}}"}}
    assert problems_of(body(FIND, wrong), handbook) == [
        (
            "steps.1.with.contxt",
            'step "answer" gives contxt, which prompt/answer does not take',
            "did you mean context?  It takes: question, context",
        )
    ]
    (found,) = problems_of(body(FIND, {**ANSWER, "with": {"question": "q"}}), handbook)
    assert found[:2] == ("steps.1.with", 'step "answer" does not give context, which prompt/answer needs')


def test_what_shows_only_beside_the_others(handbook):
    (found,) = problems_of(body(FIND, {key: value for key, value in ANSWER.items() if key != "model"}), handbook)
    assert found[:2] == ("steps.1", 'step "answer" has no model')
    (found,) = problems_of(body({**FIND, "retrieve": {**FIND["retrieve"], "mode": "vector"}}, ANSWER), handbook)
    assert found[:2] == ("steps.0.retrieve.mode", 'step "find" searches by vector, but index/handbook has no embedder')


def test_diff_names_the_steps_that_changed():
    old = ChainKind().parse(body(FIND, ANSWER), files=None).spec
    new = ChainKind().parse(body(FIND, {**ANSWER, "retries": 2}, output="{{answer}}"), files=None).spec
    assert list(ChainKind().diff(old, new)) == [
        "~ step answer: + retries 2",
        "output {{answer.text}} -> {{answer}}",
    ]
