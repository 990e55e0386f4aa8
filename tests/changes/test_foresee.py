"""What is foreseen of branches, chains within chains, agents, guardrails and replicates."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.anyio

MODEL = "kind: model\nname: local\nprovider: test\nreply: yes\n---\n"
DATA = """\
---
kind: dataset
name: d
rows: [{q: one, a: "yes"}, {q: two, a: "no"}, {q: three, a: "yes"}]
roles: {input: q, reference: a}
"""


async def rerun_and_calls(client, write, before, after, *, n=1):
    """What the plan foresees of a change, and the calls that the evaluation then makes."""
    write(before)
    await client.apply()
    await client.evaluate("chain/app", data="dataset/d", scorers=["contains"], n=n)
    write(after)
    rerun = (await client.plan())["rerun"]
    await client.apply()
    done = await client.evaluate("chain/app", data="dataset/d", scorers=["contains"], n=n)
    assert done["errors"] == 0
    return rerun, done["calls"]


def prompt(text, name="p"):
    return f'kind: prompt\nname: {name}\ntext: "{text} {{{{q}}}}"\n---\n'


ASK = '{id: ask, prompt: prompt/p, model: model/local, with: {q: "{{q}}"}}'
CHAIN = "kind: chain\nname: app\ninputs: {q: string}\nsteps:\n"


async def test_a_chain_within_a_chain_and_each_replicate_are_counted(client, write):
    inner = f"kind: chain\nname: inner\ninputs: {{q: string}}\nsteps:\n  - {ASK}\n---\n"
    outer = CHAIN + '  - {id: within, chain: chain/inner, with: {q: "{{q}}"}}\noutput: "{{within}}"\n' + DATA
    before, after = (MODEL + prompt(each) + inner + outer for each in ("Say", "Please say"))
    rerun, calls = await rerun_and_calls(client, write, before, after, n=2)
    assert (rerun["generations"], rerun["samples"], rerun["bound"]) == (6, 6, "exact")
    assert calls["model"] == 6


async def test_a_branch_is_followed_where_its_condition_is_known(client, write):
    branch = (
        "  - {id: way, branch: [{when: 'q == \"one\"', steps: [" + ASK + "]}, "
        '{steps: [{id: other, prompt: prompt/o, model: model/local, with: {q: "{{q}}"}}]}]}\n'
        'output: "{{way.text}}"\n'
    )
    before, after = (MODEL + prompt(each) + prompt("Other", "o") + CHAIN + branch + DATA for each in ("Say", "Please say"))
    rerun, calls = await rerun_and_calls(client, write, before, after)
    assert (rerun["generations"], rerun["bound"]) == (1, "exact")
    assert calls["model"] == 1


async def test_a_condition_on_what_must_run_makes_it_the_most(client, write):
    more = (
        f"  - {ASK}\n  - {{id: then, when: 'ask.text == \"no\"', prompt: prompt/o, model: model/local, "
        'with: {q: "{{ask.text}}"}}\noutput: "{{ask.text}}{{then.text}}"\n'
    )
    before, after = (MODEL + prompt(each) + prompt("Other", "o") + CHAIN + more + DATA for each in ("Say", "Please say"))
    rerun, calls = await rerun_and_calls(client, write, before, after)
    assert (rerun["generations"], rerun["bound"]) == (6, "at_most")
    assert calls["model"] == 3


async def test_behind_a_guardrail_it_is_the_most(client, write):
    guard = "kind: guardrail\nname: g\n'on': input\ncheck: {denylist: {words: [secret]}}\naction: redact\n---\n"
    guarded = CHAIN + f'  - {ASK}\noutput: "{{{{ask.text}}}}"\nguardrails: [guardrail/g]\n' + DATA
    before, after = (MODEL + guard + prompt(each) + guarded for each in ("Say", "Please say"))
    rerun, calls = await rerun_and_calls(client, write, before, after)
    assert (rerun["generations"], rerun["bound"]) == (3, "at_most")
    assert calls["model"] == 3


async def test_how_often_an_agent_asks_is_taken_from_before(client, write):
    agent = "kind: agent\nname: a\nmodel: model/local\nprompt: prompt/p\ninputs: {q: string}\n---\n"
    asked = CHAIN + '  - {id: ask, agent: agent/a, with: {q: "{{q}}"}}\noutput: "{{ask.text}}"\n' + DATA
    before, after = (MODEL + prompt(each) + agent + asked for each in ("Say", "Please say"))
    rerun, calls = await rerun_and_calls(client, write, before, after)
    assert (rerun["generations"], rerun["bound"]) == (3, "about")
    assert calls["model"] == 3


async def test_a_changed_model_that_costs_has_its_own_price(client, write):
    other = "kind: model\nname: local\nprovider: openai\nmodel: gpt-4o-mini\n---\n"
    rest = prompt("Say") + CHAIN + f'  - {ASK}\noutput: "{{{{ask.text}}}}"\n' + DATA
    write(MODEL + rest)
    await client.apply()
    await client.evaluate("chain/app", data="dataset/d", scorers=["contains"])
    write(other + rest)
    rerun = (await client.plan())["rerun"]
    assert rerun["generations"] == 3
    assert rerun["cost"] > 0
