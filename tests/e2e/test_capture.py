"""What an endpoint says of capture, and what is wrong in `kind: telemetry`, through the command line and the gateway."""

from __future__ import annotations

import openai
import pytest

from e2e.processes import Server, Shell
from e2e.specs import answering

WORD = "qqunsaid"


def test_an_endpoint_that_captures_nothing_still_counts(server: Server) -> None:
    quiet = "kind: endpoint\nname: {name}\napp: chain/echo\ncapture: {capture}\n"
    server.shell.write(
        echo=answering("echo", 'reply: "second {{input}}"'),
        quiet=quiet.format(name="quiet", capture="off"),
        loud=quiet.format(name="loud", capture="on"),
    )
    server.shell.json("apply")
    traces = {}
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.token, max_retries=0, timeout=60) as client:
        for name in ("quiet", "loud"):
            server.post(f"/endpoints/{name}:deploy", {"app": "chain/echo"})
            raw = client.chat.completions.with_raw_response.create(
                model=f"endpoint/{name}", messages=[{"role": "user", "content": f"{WORD} {name}"}]
            )
            assert WORD in str(raw.parse().choices[0].message.content)
            traces[name] = server.get(f"/traces/{raw.headers['x-tidemill-trace']}")
    quiet_trace, loud = traces["quiet"], traces["loud"]
    assert WORD not in str(quiet_trace)
    assert WORD in str(loud)
    assert all(each["input"] is None and each["output"] is None for each in quiet_trace["spans"])
    assert quiet_trace["usage"] == loud["usage"]
    assert quiet_trace["usage"]["output_tokens"] > 0
    assert quiet_trace["cost"] == loud["cost"] == 0
    found = server.post("/spans:search", {"text": WORD})["items"]
    assert {each["trace_id"] for each in found} == {loud["id"]}


@pytest.mark.parametrize(
    ("body", "where", "said"),
    [
        ("sampling: {head: 2}", "sampling", "head is 2"),
        ("sampling: {tail: {share: 0}}", "sampling", "share is 0"),
        ("sampling: {tail: {shar: 0.1}}", "sampling", "Did you mean share?"),
        ("sampling: {hed: 0.1}", "sampling", "Did you mean head?"),
        ("sampling: {tail: {slower_than: soon}}", "sampling", "soon"),
        ("prices: [{model: m, input: -1}]", "prices", "input is -1"),
        ("prices: [{model: m, inptu: 1}]", "prices", "Did you mean input?"),
        ("prices: [{input: 1}]", "prices", "which model"),
        ("prices: [{model: m, input: 1, from: someday}]", "prices", "someday"),
        ("smapling: {head: 0.1}", "smapling", "Did you mean sampling?"),
    ],
)
def test_a_mistake_in_the_rules_is_told_at_apply(shell: Shell, body: str, where: str, said: str) -> None:
    shell.write(rules=f"kind: telemetry\nname: default\n{body}\n")
    shell("apply").refused(2, where, said)
