"""Guardrails: allow, redact, block and escalate, on input, output and retrieved text."""

import pytest

from tidemill.core.errors import Denied, Invalid
from tidemill.flows.kinds import GuardrailKind

pytestmark = pytest.mark.anyio

MAIL = {"regex": {"pattern": r"[\w.]+@[\w.]+", "label": "email"}}


def echo(bench, *guardrails):
    bench.project.add("model/echo", provider="test")
    bench.project.add("prompt/say", text="{{x}}")
    step = {"id": "say", "prompt": "prompt/say", "model": "model/echo", "with": {"x": "{{x}}"}}
    bench.project.add("chain/echo", inputs={"x": "string"}, steps=[step], guardrails=list(guardrails))


async def test_redact_on_input(bench):
    bench.project.add("guardrail/mail", on="input", check=MAIL, action="redact")
    echo(bench, "guardrail/mail")
    assert (await bench.run("chain/echo", {"x": "write to a.b@c.org and d@e.org!"})).output == "write to [email] and [email]!"
    (span,) = bench.named("mail")
    assert (span.kind, span.attributes["tidemill.guardrail.action"]) == ("guardrail", "redact")


async def test_block_on_output_is_denied_and_holds_back_the_stream(bench):
    bench.project.add("guardrail/words", on="output", check={"denylist": {"words": ["secret plan"]}})
    echo(bench, "guardrail/words")
    with pytest.raises(Denied, match="guardrail/words blocked the answer: denied"):
        await bench.run("chain/echo", {"x": "the Secret Plan is"})
    with pytest.raises(Denied):
        await anext(bench.stream("chain/echo", {"x": "the secret plan is"}))
    assert (await bench.run("chain/echo", {"x": "secretplanning"})).output == "secretplanning"


async def test_a_block_with_a_message_answers_with_it(bench):
    bench.project.add("guardrail/long", on="input", check={"max_length": {"characters": 5}}, message="Shorter, please.")
    echo(bench, "guardrail/long")
    result = await bench.run("chain/echo", {"x": "a long text"})
    assert (result.output, result.blocked_by, result.finish_reason) == ("Shorter, please.", "guardrail/long", "content_filter")
    assert result.calls.model == 0


async def test_escalate_and_allow_let_pass_with_a_note(bench):
    bench.project.add("guardrail/mail", on="input", check=MAIL, action="escalate")
    echo(bench, "guardrail/mail")
    assert (await bench.run("chain/echo", {"x": "a@b.c"})).output == "a@b.c"
    assert bench.named("mail")[0].attributes["tidemill.guardrail.action"] == "escalate"


async def test_blocked_passages_are_left_out(bench):
    bench.project.files.files |= {"docs/a.md": b"# A\n\nalpha word a@b.c\n", "docs/b.md": b"# B\n\nalpha forbidden\n"}
    bench.project.add("index/docs", source="docs")
    bench.project.add("guardrail/mail", on="context", check=MAIL, action="redact")
    bench.project.add("guardrail/words", on="context", check={"denylist": {"words": ["forbidden"]}})
    bench.project.add(
        "chain/find",
        inputs={"x": "string"},
        steps=[{"id": "find", "retrieve": {"index": "index/docs", "query": "{{x}}"}}],
        guardrails=["guardrail/mail", "guardrail/words"],
    )
    found = (await bench.run("chain/find", {"x": "alpha"})).output
    assert [each["document"] for each in found] == ["a.md"]
    assert found[0]["text"].endswith("alpha word [email]")


async def test_a_guardrail_is_a_step_whose_finding_a_branch_can_read(bench):
    bench.project.add("guardrail/mail", on="input", check=MAIL, action="allow")
    bench.project.add("model/echo", provider="test")
    bench.project.add("prompt/say", text="{{x}}")
    step = {"id": "say", "prompt": "prompt/say", "model": "model/echo", "when": "check.passed", "with": {"x": "{{check.text}}"}}
    bench.project.add(
        "chain/x",
        inputs={"x": "string"},
        steps=[{"id": "check", "guardrail": "guardrail/mail", "with": {"text": "{{x}}"}}, step],
        output={"said": "{{say.text}}", "found": "{{check.findings.0.label}}"},
    )
    assert (await bench.run("chain/x", {"x": "hello"})).output == {"said": "hello", "found": None}
    assert (await bench.run("chain/x", {"x": "me@x.y"})).output == {"said": None, "found": "email"}


@pytest.mark.parametrize(
    ("body", "where", "part"),
    [
        ({"check": MAIL}, "on", "on is missing"),
        ({"on": "inptu", "check": MAIL}, "on", "not known"),
        ({"on": "input"}, "check", "check is missing"),
        ({"on": "input", "check": {"rgex": {}}}, "check", "'rgex' is not a known check"),
        ({"on": "input", "check": {"regex": {"pattern": "("}}}, "check", "not a regular expression"),
        ({"on": "input", "check": {"regex": {"patern": "x"}}}, "check", "unexpected keyword argument 'patern'"),
        ({"on": "input", "check": [MAIL, {"max_length": {"characters": "x"}}]}, "check.1", "a whole number"),
        ({"on": "input", "check": MAIL, "action": "blok"}, "action", "not known"),
    ],
)
def test_bad_guardrails_get_one_clear_problem(body, where, part):
    with pytest.raises(Invalid) as caught:
        GuardrailKind().parse(body, files=None)
    (problem,) = caught.value.problems
    assert problem.where == where
    assert part in problem.message
