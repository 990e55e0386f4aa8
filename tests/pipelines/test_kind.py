"""What is wrong in a pipeline is said with file and line, before anything runs."""

from __future__ import annotations

import pytest

from tidemill.core.errors import Invalid

pytestmark = pytest.mark.anyio
HEAD = "kind: pipeline\nname: tide\n"


async def refused(house, text):
    with pytest.raises(Invalid) as caught:
        await house.apply(text)
    problems = caught.value.problems or [caught.value]
    return [f"{each.where} {each.message}  {each.hint}" for each in problems]


@pytest.fixture(autouse=True)
def steps_module(code):
    code("fine_steps", "def work(a=1):\n    return a\n")


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ("steps:\n  - {id: a, evalute: {app: chain/x}}", 4, ["unknown kind of step 'evalute'", "Did you mean evaluate?"]),
        ("steps:\n  - {id: a, gate: {gate: gate/none, evaluation: e}}", 4, ["gate/none, which does not exist"]),
        ("steps:\n  - {id: a, python: 'fine_steps:wrk'}", 4, ["has no 'wrk'", "work"]),
        ("steps:\n  - {id: a, python: 'fine_steps:work', with: {a: '{{strat}}'}}\ninputs: {start: 1}", 4,
         ["uses {{strat}}, which nothing provides", "did you mean {{start}}?"]),
        ("steps:\n  - {id: a, python: 'fine_steps:work', when: 'steps.b.x >'}\n  - {id: b, python: 'fine_steps:work'}", 4,
         ["is not CEL", "column"]),
        ("steps:\n  - {id: a, python: 'fine_steps:work', when: 'steps.zz.x'}", 4, ["names zz, which is no step"]),
        ("steps:\n  - {id: a, python: 'fine_steps:work', when: 'drift.alarm'}", 4, ["uses drift, which nothing provides"]),
        ("on: {schedule: '0 25 * * *'}\nsteps:\n  - {id: a, python: 'fine_steps:work'}", 3, ["'25' as hour", "0 to 23"]),
        ("on: {schedule: '0 0 30 2 *'}\nsteps:\n  - {id: a, python: 'fine_steps:work'}", 3, ["is never due"]),
        ("on: {schedule: '@daily'}\ninputs: {who: null}\nsteps:\n  - {id: a, python: 'fine_steps:work'}", 3,
         ["nobody gives who"]),
        ("steps:\n  - {id: a, python: 'fine_steps:work', needs: [b]}\n  - {id: b, gate: {gate: '{{a}}', evaluation: e}}",
         4, ["the steps form a cycle: a -> b -> a"]),
        ("steps:\n  - {id: a, python: 'fine_steps:work', needs: [nothing]}", 4, ["needs nothing, which is no step"]),
        ("steps:\n  - {id: a, python: 'fine_steps:work'}\n  - {id: a, python: 'fine_steps:work'}", 5, ['have the id "a"']),
        ("steps:\n  - {id: a, rollout: {endpoint: endpoint/x, release: '{{run}}', share: 120%}}", 4, ["share is '120%'"]),
        ("steps:\n  - {id: a, promote: {endpoint: endpoint/x, after: a while}}", 4, ["says neither how many requests"]),
        ("steps:\n  - {id: a, approve: {release: '{{run}}', timeout: soon}}", 4, ["timeout is 'soon'", "7d"]),
        ("steps:\n  - {id: a, deploy: {app: prompt/x, endpoint: endpoint/x}, cache: true}", 4, ["is never used again"]),
        ("steps: []", 3, ["steps is missing"]),
    ],
)  # fmt: skip
async def test_bad_input_is_told_with_its_line(house, body, line, words):
    (said,) = await refused(house, HEAD + body)
    assert said.startswith(f"tide.yaml:{line} ")
    for each in words:
        assert each in said


async def test_every_mistake_is_told_at_once(house):
    said = await refused(house, HEAD + "on: {feedback: 0}\nsteps:\n  - {id: a, tune: gate/x}\n  - {id: b, monitor: {}}\n")
    assert len(said) == 3


async def test_a_pipeline_says_what_changed(house):
    first = HEAD + "steps:\n  - {id: a, python: 'fine_steps:work'}\n"
    await house.apply(first)
    applied = await house.apply(first + "  - {id: b, python: 'fine_steps:work', with: {a: '{{a}}'}}\n")
    (change,) = applied.plan.changes
    assert change.details == ("+ step b",)
