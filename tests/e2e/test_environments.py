"""Evidence gathered in staging holds in production: one release, two sets of connections, one server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.processes import Server, served
from e2e.upstream import listening

STAGING_KEY, PRODUCTION_KEY = "key-of-staging", "key-of-production"
SPECS = """
kind: connection
name: up
environment: staging
provider: openai
base_url: {url}/staging/v1
allow_private: true
api_key: env:STAGING_KEY
---
kind: connection
name: up
environment: production
provider: openai
base_url: {url}/production/v1
allow_private: true
timeout: 20
api_key: env:PRODUCTION_KEY
---
kind: model
name: up
provider: openai
model: m
connection: up
---
kind: prompt
name: ask
text: "{{{{question}}}}"
---
kind: chain
name: help
inputs: {{question: string}}
steps:
  - {{id: answer, prompt: prompt/ask, model: model/up, with: {{question: "{{{{question}}}}"}}}}
output: "{{{{answer.text}}}}"
---
kind: dataset
name: questions
rows: [{{q: a, a: yes}}, {{q: b, a: yes}}, {{q: c, a: yes}}, {{q: d, a: yes}}, {{q: e, a: yes}}]
roles: {{input: q, reference: a}}
---
kind: gate
name: release
checks: [{{metric: exact_match, min: 0.3}}]
---
kind: environment
name: production
from: staging
---
kind: policy
name: production
protects: ["chain/*@production"]
require: ['gate("gate/release").result == "passed"']
---
kind: endpoint
name: help
release: chain/help@production
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[tuple[str, str]]]]:
    """A server, and which key each upstream was asked with."""
    seen: list[tuple[str, str]] = []

    def answer(which: str):
        def reply(handler, _body) -> None:
            seen.append((which, handler.headers["authorization"]))
            handler.complete("yes")

        return reply

    folder: Path = tmp_path_factory.mktemp("project")
    cases = {which: answer(which) for which in ("staging", "production")}
    with listening(cases) as (url, _), served(folder, STAGING_KEY=STAGING_KEY, PRODUCTION_KEY=PRODUCTION_KEY) as server:
        server.shell.write(a=SPECS.format(url=url).replace("a: yes", 'a: "yes"'))
        assert server.shell("apply", "--yes").code == 0
        yield server, seen


def test_the_same_release_is_measured_in_staging_and_serves_in_production(asked: tuple[Server, list]) -> None:
    server, seen = asked
    shell = server.shell
    shell("promote", "chain/help", "--to", "production").refused(4, "was not in staging", "promote chain/help@v1 --to staging")
    staged = shell.json("promote", "chain/help", "--to", "staging")
    evaluation = shell.json(
        "eval", "chain/help@staging", "--data", "dataset/questions", "--scorer", "exact_match", "--environment", "staging"
    )
    assert evaluation["release"] == staged["release"]
    assert evaluation["environment"] == "staging"
    assert set(seen) == {("staging", f"Bearer {STAGING_KEY}")}
    shell("promote", "chain/help@staging", "--to", "production").refused(4, "gate/release", f"{evaluation['id']}")
    shell.json("gate", "gate/release", evaluation["id"])
    shown = shell("promote", "chain/help@staging", "--to", "production", "--why", "measured")
    assert shown.code == 0, shown
    for said in ("staging -> production", "base_url", "/staging/v1", "/production/v1", "env:STAGING_KEY -> env:PRODUCTION_KEY",
                 "timeout", evaluation["id"][:13], "gate/release passed"):  # fmt: skip
        assert said in shown.out, (said, shown.out)
    assert STAGING_KEY not in shown.out
    assert PRODUCTION_KEY not in shown.out
    seen.clear()
    answer = server.http.post(
        "/v1/chat/completions", json={"model": "endpoint/help", "messages": [{"role": "user", "content": "?"}]}
    )
    assert answer.headers["x-tidemill-release"] == staged["release"]
    assert seen == [("production", f"Bearer {PRODUCTION_KEY}")]
    trace = server.get(f"/traces/{answer.headers['x-tidemill-trace']}")
    called = next(span["attributes"] for span in trace["spans"] if span["kind"] == "llm")
    assert (called["tidemill.connection"], called["tidemill.environment"]) == ("up", "production")
    assert trace["release"] == staged["release"]


def test_an_environment_shows_what_is_there(asked: tuple[Server, list]) -> None:
    shell = asked[0].shell
    listed = shell("environments")
    assert "production   from staging" in listed.out
    assert "env:PRODUCTION_KEY" in listed.out
    assert PRODUCTION_KEY not in listed.out
    shell("environments", "producton").refused(3, "Did you mean production?")
    assert {each["name"] for each in shell.json("environments")["items"]} == {"local", "staging", "production"}
    ran = shell.json("run", "chain/help", "--input", "question=?", "--environment", "staging")
    assert ran["output"] == "yes"
    assert asked[1][-1] == ("staging", f"Bearer {STAGING_KEY}")
    shell("run", "chain/help", "--input", "question=?").refused(3, "connection/up")


def test_a_missing_secret_is_named_before_anything_runs(asked: tuple[Server, list], tmp_path: Path) -> None:
    server, seen = asked
    with served(tmp_path) as bare:
        text = (server.folder / "tidemill" / "a.yaml").read_text()
        bare.shell.write(a=text)
        bare.shell("apply", "--yes")
        seen.clear()
        for command in (
            ("run", "chain/help", "--input", "question=?", "--environment", "staging"),
            ("eval", "chain/help", "--data", "dataset/questions", "--environment", "staging"),
            ("deploy", "chain/help", "--to", "endpoint/other", "--environment", "staging"),
            ("promote", "chain/help", "--to", "staging"),
        ):
            bare.shell(*command).refused(4, "STAGING_KEY", "connection/up")
        assert seen == []
        assert bare.shell.json("jobs", "list")["items"] == []
        looked = bare.shell("doctor", TIDEMILL_ENVIRONMENT="staging")
        assert "env:STAGING_KEY of connection/up is missing" in looked.out
