"""What a run does: order, conditions, re-use, retries, failures, cancelling."""

from __future__ import annotations

import pytest

from pipelines.building import PROJECT
from tidemill.core.errors import Invalid
from tidemill.store import pipelines as rows

pytestmark = pytest.mark.anyio

CODE = """
import logging
import threading
from pathlib import Path

def add(a, b=1, log=None):
    if log:
        log(f"adding {a} and {b}")
    return {"sum": a + b}

def note(path, word):
    logging.getLogger("mine").info("noting %s", word)
    with Path(path).open("a") as file:
        file.write(word + "\\n")
    return word

def fail(path, times):
    seen = Path(path).read_text().count("x") if Path(path).exists() else 0
    with Path(path).open("a") as file:
        file.write("x")
    if seen < times:
        raise ValueError(f"no luck at {seen}")
    return seen

together = threading.Barrier(2, timeout=20)

def meet():
    together.wait()
    return True

def opaque():
    return object()

async def forever():
    import anyio
    await anyio.sleep_forever()
"""

WAIT = """
import time

def wait_for(path):
    while not Path(path).exists():
        time.sleep(0.01)
    return True
"""


@pytest.fixture(autouse=True)
def steps_module(code):
    code("tide_steps", CODE)


async def test_steps_run_in_order_on_what_others_gave(house):
    await house.apply("""
kind: pipeline
name: tide
inputs: {start: 1}
steps:
  - {id: last, python: "tide_steps:add", with: {a: "{{middle.sum}}", b: 10}}
  - {id: middle, python: "tide_steps:add", with: {a: "{{start}}"}}
""")
    run = await house.run(start=4)
    steps = await house.steps(run)
    assert run.status == "done"
    assert (steps["middle"].output, steps["last"].output) == ({"sum": 5}, {"sum": 15})
    assert steps["last"].output_digest.startswith("sha256:")
    assert await house.lines(run) == ["adding 4 and 1", "adding 5 and 10"]


async def test_a_step_whose_code_and_inputs_are_the_same_is_not_run_again(house, tmp_path):
    path = tmp_path / "said"
    await house.apply(f"""
kind: pipeline
name: tide
inputs: {{word: high}}
steps:
  - {{id: first, python: "tide_steps:note", with: {{path: "{path}", word: "{{{{word}}}}"}}}}
  - {{id: always, python: "tide_steps:note", with: {{path: "{path}", word: always}}, needs: [first], cache: false}}
""")
    first, again, other = await house.run(), await house.run(), await house.run(word="low")
    assert path.read_text().split() == ["high", "always", "always", "low", "always"]
    steps = await house.steps(again)
    assert (steps["first"].status, steps["first"].cached_from) == ("done", first.id)
    assert (steps["first"].output, steps["always"].cached_from) == ("high", None)
    assert await house.lines(again, "first") == [f"used again what run {first.id} gave"]
    assert (await house.steps(other))["first"].cached_from is None


async def test_a_condition_that_does_not_hold_skips_the_step_and_what_needs_it(house):
    await house.apply("""
kind: pipeline
name: tide
steps:
  - {id: look, python: "tide_steps:add", with: {a: 1}}
  - {id: act, python: "tide_steps:add", with: {a: "{{look.sum}}"}, when: "steps.look.sum > 5"}
  - {id: then, python: "tide_steps:add", with: {a: 1}, needs: [act]}
""")
    run = await house.run()
    steps = await house.steps(run)
    assert run.status == "done"
    assert [steps[each].status for each in ("look", "act", "then")] == ["done", "skipped", "skipped"]
    assert steps["act"].note == "not so: steps.look.sum > 5"
    assert steps["then"].note == "it needs act, which was skipped"


async def test_steps_that_do_not_need_each_other_run_side_by_side(house):
    await house.apply("""
kind: pipeline
name: tide
steps:
  - {id: one, python: "tide_steps:meet"}
  - {id: two, python: "tide_steps:meet", cache: false}
""")
    assert (await house.run()).status == "done"


async def test_a_step_that_raises_is_tried_again_and_then_stops_what_needs_it(house, tmp_path):
    await house.apply(f"""
kind: pipeline
name: tide
steps:
  - id: lucky
    python: tide_steps:fail
    with: {{path: "{tmp_path / "lucky"}", times: 2}}
    retry: {{attempts: 3, backoff: 10ms}}
  - {{id: unlucky, python: "tide_steps:fail", with: {{path: "{tmp_path / "unlucky"}", times: 9}}}}
  - {{id: after, python: "tide_steps:add", with: {{a: 1}}, needs: [unlucky]}}
  - {{id: later, python: "tide_steps:add", with: {{a: 1}}, needs: [after]}}
  - {{id: apart, python: "tide_steps:add", with: {{a: 1}}}}
""")
    run = await house.run()
    steps = await house.steps(run)
    assert run.status == "failed"
    assert run.error == "step unlucky: tide_steps:fail raised ValueError: no luck at 0"
    assert (steps["lucky"].status, steps["lucky"].attempt, steps["lucky"].output) == ("done", 3, 2)
    assert (await house.lines(run, "lucky"))[0] == "attempt 1 of 3 failed: tide_steps:fail raised ValueError: no luck at 0"
    assert (steps["after"].status, steps["after"].note) == ("blocked", "it needs unlucky, which failed")
    assert (steps["later"].status, steps["later"].note) == ("blocked", "it needs after, which was blocked")
    assert steps["apart"].status == "done"


async def test_a_cancelled_run_stops_at_once_and_keeps_what_is_finished(house):
    await house.apply("""
kind: pipeline
name: tide
steps:
  - {id: first, python: "tide_steps:add", with: {a: 1}}
  - {id: long, python: "tide_steps:forever", needs: [first]}
  - {id: last, python: "tide_steps:add", with: {a: 1}, needs: [long]}
""")
    run = await house.pipelines.begin(PROJECT, "pipeline/tide", {}, who="ada")
    await house.until(run, "long", "running")
    ended = await house.pipelines.cancel(PROJECT, run.id)
    steps = await house.steps(run)
    assert ended.status == "cancelled"
    assert [steps[each].status for each in ("first", "long", "last")] == ["done", "cancelled", "cancelled"]
    assert (await house.pipelines.cancel(PROJECT, run.id)).status == "cancelled"


async def test_a_pipeline_edited_while_it_runs_finishes_as_it_began(house, tmp_path, code):
    text = """
kind: pipeline
name: tide
steps:
  - {{id: first, python: "tide_steps:wait_for", with: {{path: "{path}"}}}}
  - {{id: second, python: "tide_steps:add", with: {{a: {number}}}, needs: [first]}}
"""
    code("tide_steps", CODE + WAIT)
    await house.apply(text.format(path=tmp_path / "go", number=1))
    run = await house.pipelines.begin(PROJECT, "pipeline/tide", {}, who="ada")
    await house.until(run, "first", "running")
    code("tide_steps", (CODE + WAIT).replace("a + b", "a + b + 100"))
    await house.apply(text.format(path=tmp_path / "go", number=7))
    (tmp_path / "go").touch()
    ended = await house.pipelines.wait(run.id, timeout=20)
    later = await house.run()
    assert (ended.version, later.version) == (1, 2)
    assert (await house.steps(ended))["second"].output == {"sum": 2}
    assert (await house.steps(later))["second"].output == {"sum": 108}


async def test_the_same_id_is_the_same_run(house):
    await house.apply("{kind: pipeline, name: tide, steps: [{id: a, python: 'tide_steps:add', with: {a: 1}}]}")
    first = await house.pipelines.begin(PROJECT, "tide", {}, who="ada", run_id="run-0001")
    again = await house.pipelines.begin(PROJECT, "tide", {}, who="ada", run_id="run-0001")
    assert first.id == again.id
    await house.pipelines.wait(first.id, timeout=20)


@pytest.mark.parametrize(
    ("inputs", "words"), [({"strat": 1}, "has no input 'strat'"), ({}, "needs start"), ({"start": None}, "needs start")]
)
async def test_inputs_that_do_not_fit_start_nothing(house, inputs, words):
    await house.apply("""
{kind: pipeline, name: tide, inputs: {start: null}, steps: [{id: a, python: 'tide_steps:add', with: {a: '{{start}}'}}]}
""")
    with pytest.raises(Invalid, match=words):
        await house.run(**inputs)
    assert (await house.database.read(lambda db: rows.list_runs(db, PROJECT))).items == ()


async def test_a_step_that_cannot_be_called_or_gives_no_json_fails(house):
    await house.apply("""
kind: pipeline
name: tide
steps:
  - {id: wrong, python: "tide_steps:add", with: {c: 1}}
  - {id: opaque, python: "tide_steps:opaque"}
  - {id: bad, python: "tide_steps:add", with: {a: "{{wrong.none}}"}, when: "steps.opaque.size > 1"}
  - {id: missing, python: "tide_steps:add", with: {a: 1}, when: "inputs.size > 1"}
inputs: {size: tall}
""")
    steps = await house.steps(await house.run())
    assert "cannot call tide_steps:add: missing a required argument: 'a'" in steps["wrong"].error
    assert "is not JSON" in steps["opaque"].error
    assert steps["bad"].status == "blocked"
    assert "the condition 'inputs.size > 1' failed" in steps["missing"].error


async def test_a_step_that_takes_too_long_fails(house):
    await house.apply("{kind: pipeline, name: tide, steps: [{id: a, python: 'tide_steps:forever', timeout: 50ms}]}")
    steps = await house.steps(await house.run())
    assert steps["a"].error == "it took longer than 0.05 s  Raise the step's timeout."


async def test_every_mistake_of_a_step_is_among_its_lines(house, code):
    code("strict_steps", """
from tidemill.core.errors import Invalid, Problem

def check():
    raise Invalid("25 rows are wrong", problems=[Problem(message=f"row {n}") for n in range(25)])
""")  # fmt: skip
    await house.apply("{kind: pipeline, name: tide, steps: [{id: a, python: 'strict_steps:check', retry: {attempts: 3}}]}")
    run = await house.run()
    lines = await house.lines(run)
    assert run.error == "step a: 25 rows are wrong"
    assert (lines[0], lines[1], lines[-1]) == ("failed: 25 rows are wrong", "row 0", "and 5 more")
    assert len(lines) == 22
