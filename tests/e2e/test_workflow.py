"""From files to a measured, deployed, watched endpoint, by the command line alone."""

from __future__ import annotations

import json

import pytest

from e2e.processes import Server, Shell
from e2e.specs import answering, write_tides

CALLS = ("model", "embed", "retrieve", "tool")
SCORERS = ("--scorer", "contains", "--scorer", "recall_at_k")


@pytest.fixture(scope="module", autouse=True)
def applied(server: Server):
    """The project, applied; the answer of the apply."""
    write_tides(server.folder)
    planned = server.shell.json("plan")
    applied = server.shell.json("apply", "--yes")
    assert [each["ref"] for each in planned["changes"]] == [each["ref"] for each in applied["changes"]]
    return applied


@pytest.fixture(scope="module")
def first(server: Server, applied):
    """The first evaluation of the app."""
    return server.shell.json("eval", "chain/app", "--data", "dataset/questions", *SCORERS)


def test_apply_makes_every_document(applied) -> None:
    made = {"embedder/words", "index/docs", "prompt/answer", "model/right", "chain/app", "dataset/questions"}
    assert {each["ref"] for each in applied["changes"]} == made
    assert {each["action"] for each in applied["changes"]} == {"create"}
    assert all(each["digest"].startswith("sha256:") for each in applied["versions"])


def test_a_second_plan_is_empty(shell: Shell) -> None:
    assert shell.json("plan")["changes"] == []


def test_a_run_prints_the_output_and_leaves_a_trace(server: Server, shell: Shell) -> None:
    ran = shell.json("run", "chain/app", "--input", "question=What moves the tide?")
    assert ran["output"] == "The answer is the moon."
    assert ran["release"].startswith("sha256:")
    assert ran["usage"]["output_tokens"] == 5
    shown = shell.json("traces", "show", ran["trace"])
    assert shown["release"] == ran["release"]
    assert {each["kind"] for each in shown["spans"]} >= {"chain", "retriever", "llm"}
    assert shown["input"] == {"question": "What moves the tide?"}
    assert shown["output"] == "The answer is the moon."
    needed = {"id", "name", "release", "start", "duration_ms", "status", "error", "input", "output", "usage", "cost", "user"}
    assert needed | {"session", "tags", "spans"} <= shown.keys()
    spans = {each["id"]: each for each in shown["spans"]}
    assert next(each for each in spans.values() if each["parent_id"] not in spans)["kind"] == "chain"
    listed = shell.json("traces", "list")["items"]
    assert ran["trace"] in {each["id"] for each in listed}
    assert server.get(f"/runs/{ran['id']}")["output"] == ran["output"]


def test_a_stream_of_a_run_is_json_lines(shell: Shell) -> None:
    ended = shell("run", "chain/app", "--input", "question=What moves the tide?", "--stream", "--json")
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 0
    assert "".join(each["text"] for each in events if each["event"] == "delta") == "The answer is the moon."
    assert events[-1]["event"] == "result"


def test_a_release_can_be_run_by_its_digest(shell: Shell) -> None:
    digest = shell.json("release", "chain/app")["digest"]
    ran = shell.json("run", "chain/app", "--release", digest, "--input", "question=Why?")
    assert ran["release"] == digest


def test_an_evaluation_has_the_promised_shape(first) -> None:
    needed = {"id", "release", "dataset", "status", "samples", "errors", "metrics", "reused", "calls", "usage", "cost"}
    assert needed | {"duration_ms"} <= first.keys()
    assert (first["status"], first["samples"], first["errors"]) == ("done", 12, 0)
    contains = first["metrics"]["contains"]
    assert (contains["mean"], contains["n"]) == (1.0, 12)
    low, high = first["metrics"]["recall_at_k"]["interval"]
    assert low <= first["metrics"]["recall_at_k"]["mean"] <= high


def test_the_first_evaluation_called_once_a_sample(first) -> None:
    assert {name: first["calls"][name] for name in CALLS} == {"model": 12, "embed": 12, "retrieve": 12, "tool": 0}
    assert first["reused"]["outputs"] == 0


def test_the_second_evaluation_calls_nothing(shell: Shell, first) -> None:
    again = shell.json("eval", "chain/app", "--data", "dataset/questions", *SCORERS)
    assert {name: again["calls"][name] for name in CALLS} == dict.fromkeys(CALLS, 0)
    assert again["reused"]["outputs"] == 12
    for name in ("contains", "recall_at_k"):
        assert again["metrics"][name] == first["metrics"][name]
    compared = shell.json("compare", first["id"], again["id"])
    assert {"a", "b", "metrics"} <= compared.keys()
    for each in compared["metrics"].values():
        assert each["difference"] == 0
        assert each["verdict"] not in {"better", "worse"}


def test_retrieval_scorers_alone_call_no_model(server: Server, shell: Shell, first) -> None:
    server.post("/evaluations", {"app": "chain/app", "data": "dataset/questions", "scorers": ["mrr"]})
    found = shell.json("eval", "chain/app", "--data", "dataset/questions", "--scorer", "ndcg_at_k", "--limit", "5")
    assert found["samples"] == 5
    assert found["calls"]["model"] == 0


def test_a_search_whose_query_was_embedded_before_is_not_called_faster(server: Server, shell: Shell, applied) -> None:
    for mode in ("vector", "hybrid"):
        step = f'{{id: find, retrieve: {{index: index/docs, query: "Say {{{{question}}}}", mode: {mode}}}}}'
        shell.write(
            **{mode: f'kind: chain\nname: {mode}\ninputs: {{question: string}}\nsteps: [{step}]\noutput: "{{{{find}}}}"\n'}
        )
    shell.json("apply")
    first, second = (
        shell.json("eval", f"chain/{mode}", "--data", "dataset/questions", "--scorer", "recall_at_k")
        for mode in ("vector", "hybrid")
    )
    assert [each["calls"]["embed"] for each in (first, second)] == [12, 0]
    assert second["reused"]["outputs"] == 0
    compared = shell.json("compare", first["id"], second["id"])
    assert compared["metrics"]["recall_at_k"]["n"] == 12
    assert "latency_ms" not in compared["metrics"]
    assert compared["notes"] == ["12 samples re-used an earlier output or a part of it; their latency is not compared"]


def test_replicates_are_runs_of_their_own(shell: Shell) -> None:
    twice = shell.json("eval", "chain/app", "--data", "dataset/questions", "--scorer", "contains", "-n", "2", "--limit", "3")
    assert twice["samples"] == 6
    assert twice["calls"]["retrieve"] + twice["reused"]["outputs"] <= 6


def test_only_what_changed_is_run_again(server: Server, shell: Shell, first, applied) -> None:
    """A new prompt searches nothing; a new document embeds one document's chunks."""
    spec = server.folder / "tidemill" / "app.yaml"
    before = spec.read_text("utf-8")
    spec.write_text(before.replace("Question: {{question}}", "Say why: {{question}}"), "utf-8")
    try:
        planned = shell.json("plan")
        changed = {each["ref"]: each["action"] for each in planned["changes"]}
        assert changed == {"prompt/answer": "update", "chain/app": "update"}
        shell.json("apply")
        found = shell.json("eval", "chain/app", "--data", "dataset/questions", *SCORERS)
        assert found["calls"]["retrieve"] == found["calls"]["embed"] == 0
        assert found["calls"]["model"] == 12
        assert found["release"] != first["release"]
    finally:
        spec.write_text(before, "utf-8")
    shell.json("apply")
    chain = next(each["digest"] for each in applied["versions"] if each["ref"].startswith("chain/app@"))
    assert shell.json("show", "chain/app")["digest"] == chain  # older content is latest again


def test_what_does_not_exist_exits_3(shell: Shell) -> None:
    shell("run", "chain/nope").refused(3, "chain/nope")
    shell("eval", "chain/app", "--data", "dataset/question").refused(3, "dataset/questions")
    shell("compare", "nothing", "nothing").refused(3, "nothing")
    shell("show", "prompt/answer@v99").refused(3, "v99")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rum"], "run"),
        (["eval", "chain/app"], "--data"),
        (["run", "chain/app", "--inputs", "question=x"], "--input"),
        (["run", "chain/app", "--input", "question"], "NAME=TEXT"),
        (["run", "chain/app", "--input", "quesion=x"], "question"),
        (["run", "Chain App"], "Chain App"),
        (["up", "--port", "99999"], "99999"),
    ],
)
def test_wrong_usage_exits_2(shell: Shell, arguments: list[str], said: str) -> None:
    shell(*arguments).refused(2, said)


GATES = """
kind: gate
name: bar
checks:
  - {metric: contains, min: 0.6}
---
kind: gate
name: other-metric
checks:
  - {metric: mrr, min: 0.6}
---
kind: gate
name: better
checks:
  - {metric: contains, test: superiority}
---
kind: gate
name: no-worse
checks:
  - {metric: contains, test: noninferiority, margin: 0.1}
---
kind: gate
name: many
checks:
  - {metric: contains, min: 0.1, min_n: 1000}
"""


@pytest.fixture(scope="module")
def measured(server: Server, first) -> dict[str, str]:
    """Evaluations whose scores are known: all right, none right, every other one right."""
    script = 'script: [{when: "place (0|2|4|6|8|10)\\\\b", reply: the moon}, {reply: the sun}]'
    apps = {"good": "reply: the moon", "bad": "reply: the sun", "half": script}
    server.shell.write(gates=GATES, **{name: answering(name, each) for name, each in apps.items()})
    server.shell.json("apply")
    data = {"data": "dataset/questions", "scorers": ["contains"]}
    started = {name: server.post("/evaluations", {"app": f"chain/{name}", **data}) for name in apps}
    means = {"good": 1.0, "bad": 0.0, "half": 0.5}
    for name, each in started.items():
        assert server.wait_for_job(each["job"])["status"] == "done"
        found = server.get(f"/evaluations/{each['evaluation']}")
        assert found["metrics"]["contains"]["mean"] == means[name]
    return {name: each["evaluation"] for name, each in started.items()}


@pytest.mark.parametrize(
    ("gate", "candidate", "against", "result"),
    [
        ("bar", "good", None, "passed"),
        ("bar", "bad", None, "failed"),
        ("bar", "half", None, "inconclusive"),
        ("many", "good", None, "inconclusive"),
        ("other-metric", "good", None, "error"),
        ("better", "good", "bad", "passed"),
        ("better", "bad", "good", "failed"),
        ("better", "good", "good", "inconclusive"),
        ("better", "good", None, "error"),
        ("no-worse", "good", "good", "passed"),
        ("no-worse", "bad", "good", "failed"),
    ],
)
def test_a_gate_has_four_results_and_one_exits_0(
    server: Server, measured: dict[str, str], gate: str, candidate: str, against: str | None, result: str
) -> None:
    body = {"evaluation": measured[candidate], "against": measured[against] if against else None}
    decided = server.post(f"/gates/{gate}:check", body)
    assert decided["result"] == result, decided
    assert all(each["reason"] for each in decided["checks"])
    needed = {"metric", "rule", "value", "interval", "result", "reason"}
    assert all(needed <= each.keys() for each in decided["checks"])


@pytest.mark.parametrize(("gate", "candidate"), [("bar", "good"), ("bar", "bad"), ("bar", "half"), ("other-metric", "good")])
def test_only_a_passed_gate_exits_0(shell: Shell, measured: dict[str, str], gate: str, candidate: str) -> None:
    ended = shell("gate", f"gate/{gate}", measured[candidate], "--json")
    passed = json.loads(ended.out)["result"] == "passed"
    assert ended.code == (0 if passed else 1)
    assert ended.err == ""


def test_a_comparison_says_which_got_better(shell: Shell, measured: dict[str, str]) -> None:
    compared = shell.json("compare", measured["bad"], measured["half"])["metrics"]["contains"]
    assert (compared["a"], compared["b"], compared["difference"], compared["n"]) == (0.0, 0.5, 0.5, 12)
    assert set(compared["better"]) == {"q0", "q2", "q4", "q6", "q8", "q10"}
    assert compared["worse"] == []
    assert compared["verdict"] == "better"
    assert 0 < compared["p_value"] < 0.05
    assert compared["interval"][0] > 0


def test_a_gate_writes_junit(shell: Shell, measured: dict[str, str]) -> None:
    assert shell("gate", "gate/better", measured["good"], "--against", measured["good"], "--junit", "gate.xml").code == 1
    assert '<failure message="' in (shell.folder / "gate.xml").read_text("utf-8")


def test_deploy_and_rollback(server: Server, shell: Shell, measured: dict[str, str]) -> None:
    one = shell.json("deploy", "chain/good", "--to", "endpoint/live")
    two = shell.json("deploy", "chain/bad", "--to", "endpoint/live")
    assert two["previous"] == one["release"] != two["release"]
    assert shell.json("rollback", "endpoint/live")["release"] == one["release"]
    shell("rollback", "endpoint/nope").refused(3, "endpoint/nope")
    shell.json("deploy", "chain/good", "--to", "endpoint/fresh")
    shell("rollback", "endpoint/fresh").refused(6, "endpoint/fresh")
    shell("deploy", "chain/nope", "--to", "endpoint/live").refused(3, "chain/nope")
    assert server.get("/endpoints/live")["release"] == one["release"]


def test_an_endpoint_is_an_application_too(shell: Shell, measured: dict[str, str]) -> None:
    served = shell.json("deploy", "chain/app", "--to", "endpoint/named")["release"]
    assert shell.json("run", "endpoint/named", "--input", "question=Why?")["release"] == served
    assert shell.json("eval", "endpoint/named", "--data", "dataset/questions", *SCORERS)["release"] == served
    shell("run", "endpoint/nowhere", "--input", "question=Why?").refused(3, "endpoint/nowhere")


def test_configuration_is_listed_and_shown_though_it_has_no_versions(server: Server, shell: Shell) -> None:
    server.shell.write(vendor="kind: connection\nname: vendor\nprovider: openai\nbase_url: http://127.0.0.1:9/v1\n")
    shell.json("apply", "--yes")
    listed = shell.json("get", "connections")["items"]
    assert [each["ref"] for each in listed] == ["connection/vendor"]
    assert "http://127.0.0.1:9/v1" in shell("show", "connection/vendor").out
    assert "connection/vendor" in shell("get", "connections").out
    shell("show", "connection/none").refused(3, "connection/none")


def test_a_sample_that_fails_is_kept_and_counted(server: Server, shell: Shell, measured: dict[str, str]) -> None:
    shell.write(fails=answering("fails", 'script: [{when: "place 3", status: 400}, {reply: the moon}]'))
    shell.json("apply")
    found = shell.json("eval", "chain/fails", "--data", "dataset/questions", "--scorer", "contains")
    assert (found["samples"], found["errors"], found["metrics"]["contains"]["n"]) == (12, 1, 11)
    samples = {each["sample"]: each for each in server.get(f"/evaluations/{found['id']}/samples")["items"]}
    assert len(samples) == 12
    assert "400" in samples["q3"]["error"]
