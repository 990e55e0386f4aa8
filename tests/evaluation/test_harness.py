"""The harness on real parts: a chain that searches and answers, the test model, SQLite; its counters are exact."""

import anyio
import pytest

from flows.building import workbench
from tidemill.core.clock import SystemClock
from tidemill.core.errors import Invalid, StorageFull
from tidemill.core.records import Sample, Version
from tidemill.evaluation.compare import compare
from tidemill.evaluation.harness import evaluate
from tidemill.evaluation.results import Evaluated
from tidemill.evaluation.scorers.choose import Chosen, choose_scorers, make_scorer
from tidemill.evaluation.scorers.own import OwnScorer
from tidemill.store import evaluations
from tidemill.store.evaluations import EvaluationRow

pytestmark = pytest.mark.anyio
DOCUMENTS = {
    "docs/tides.md": b"# Tides\n\nThe tide follows the moon.\n",
    "docs/mills.md": b"# Mills\n\nA mill grinds grain.\n",
    "docs/ships.md": b"# Ships\n\nA ship carries cargo.\n",
}
ASKED = [("tide moon", "tides"), ("mill grain", "mills"), ("ship cargo", "ships"), ("grinds", "mills")]
SAMPLES = [
    Sample(id=f"s{n}", input=question, reference=question, gold=f"{topic}.md", digest=f"d{n}", metadata={"topic": topic})
    for n, (question, topic) in enumerate(ASKED)
]
ROLES = {"input": "question", "reference": "reference", "gold": "gold"}
DATASET = Version(project="default", kind="dataset", name="x", number=1, digest="sha256:d", spec={"roles": ROLES})
NONE = {"model": 0, "embed": 0, "retrieve": 0, "tool": 0}


@pytest.fixture
async def bench(tmp_path):
    async with workbench(tmp_path, DOCUMENTS) as made:
        made.project.add("index/docs", source="docs")
        build(made)
        yield made


def build(made, prompt="{{question}}", **model):
    """The chain; another prompt or model makes another version of it."""
    made.project.add("model/m", provider="test", **model)
    made.project.add("prompt/p", text=prompt + "\n{{context}}", variables={"question": "string", "context": "any"})
    find = {"id": "find", "retrieve": {"index": "index/docs", "query": "{{question}}", "k": 2, "mode": "fulltext"}}
    say = {"id": "say", "prompt": "prompt/p", "model": "model/m", "with": {"question": "{{question}}", "context": "{{find}}"}}
    made.project.add("chain/app", inputs={"question": "string"}, steps=[find, say], output="{{say.text}}")


async def run(made, name, *, scorers=("contains", "recall_at_k"), samples=SAMPLES, root="chain/app", **options):
    bundle = made.project.bundle(root)
    row = EvaluationRow(id=name, project="default", release=bundle.release, root=root, dataset="dataset/x@v1")
    await made.database.write(lambda db: evaluations.create_evaluation(db, row))
    chosen = [make_scorer(each, {}) if isinstance(each, str) else each for each in scorers]
    return await evaluate(
        bundle=bundle, dataset=DATASET, samples=samples, scorers=chosen, runner=made.runner, database=made.database,
        recorder=made.recorder, project="default", environment="local", evaluation_id=name, clock=SystemClock(), **options,
    )  # fmt: skip


async def kept(made, name):
    return [each.data for each in await made.database.read(lambda db: evaluations.get_samples(db, name))]


async def status(made, name):
    return (await made.database.read(lambda db: evaluations.get_evaluation(db, "default", name))).status


async def test_an_evaluation_and_its_counters(bench):
    shown = await run(bench, "one")
    assert (shown["samples"], shown["errors"], shown["status"]) == (4, 0, "done")
    assert shown["calls"] == {"model": 4, "embed": 0, "retrieve": 4, "tool": 0}
    assert shown["reused"] == {"outputs": 0, "scores": 0}
    assert shown["metrics"]["recall_at_k"]["mean"] == 1.0
    assert shown["metrics"]["contains"] == {"mean": 1.0, "interval": pytest.approx([0.5101, 1.0], abs=1e-4), "n": 4}
    assert shown["usage"]["input_tokens"] > 0
    assert shown["cost"] == 0.0
    row = await bench.database.read(lambda db: evaluations.get_evaluation(db, "default", "one"))
    assert (row.status, row.result["metrics"]) == ("done", shown["metrics"])
    first = (await kept(bench, "one"))[0]
    assert (first["sample"], first["retrieved"][0], first["metadata"]) == ("s0", "tides.md", {"topic": "tides"})
    root = next(each for each in bench.spans if each.trace_id == first["trace"] and each.parent_id is None)
    assert root.attributes["tidemill.evaluation"] == "one"


async def test_a_second_evaluation_makes_no_call_and_scores_nothing_again(bench):
    first, again = await run(bench, "one"), await run(bench, "two")
    assert again["calls"] == NONE
    assert again["reused"] == {"outputs": 4, "scores": 8}
    assert again["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert again["metrics"]["contains"] == first["metrics"]["contains"]
    assert [each["output"] for each in await kept(bench, "two")] == [each["output"] for each in await kept(bench, "one")]


async def test_another_prompt_runs_generation_only(bench):
    await run(bench, "one")
    build(bench, prompt="Q: {{question}}")
    shown = await run(bench, "two")
    assert shown["calls"] == {**NONE, "model": 4}
    assert shown["reused"] == {"outputs": 0, "scores": 4}  # the searches' scores


async def test_scorers_of_retrieval_make_no_model_call(bench):
    shown = await run(bench, "one", scorers=("recall_at_k", "mrr"))
    assert shown["calls"] == {**NONE, "retrieve": 4}
    assert shown["steps"] == ["find"]
    assert [each["output"] for each in await kept(bench, "one")] == [None] * 4


async def test_latency_of_reused_rows_is_kept_but_never_compared(bench):
    await run(bench, "one")
    await run(bench, "two")
    one, two = [await kept(bench, each) for each in ("one", "two")]
    assert all(each["reused"] and each["latency_ms"] > 0 for each in two)
    shape = {"contains": {"digest": "s", "binary": True}}
    sides = [Evaluated.of({"id": name, "scorers": shape}, rows) for name, rows in (("one", one), ("two", two))]
    shown = compare(*sides, metrics=["latency_ms"])
    assert shown["metrics"]["latency_ms"]["n"] == 0


async def test_errors_of_samples_are_kept_and_counted(bench):
    build(bench, script=[{"when": "mill", "status": 500}, {"reply": "{{input}}"}])
    shown = await run(bench, "one")
    assert (shown["samples"], shown["errors"], shown["metrics"]["contains"]["n"]) == (4, 2, 2)
    assert shown["metrics"]["error_rate"]["mean"] == 0.5
    failed = [each for each in await kept(bench, "one") if each["error"]]
    assert [each["sample"] for each in failed] == ["s1", "s3"]
    assert all("500" in each["error"] and each["trace"] and not each["scores"] for each in failed)
    again = await run(bench, "two")
    assert again["errors"] == 2  # a failure is tried again, not remembered
    assert again["reused"]["outputs"] == 2


async def test_replicates_are_runs_of_their_own_and_limit_takes_the_first(bench):
    shown = await run(bench, "one", replicates=3, limit=2)
    assert (shown["samples"], shown["calls"]["model"], shown["metrics"]["contains"]["n"]) == (6, 6, 2)
    assert {(each["sample"], each["replicate"]) for each in await kept(bench, "one")} == {
        (sample, replicate) for sample in ("s0", "s1") for replicate in range(3)
    }
    more = await run(bench, "two", replicates=4, limit=2)
    assert more["calls"]["model"] == 2


async def test_progress_is_told_to_the_end(bench):
    told = []

    async def report(progress):
        told.append(progress)

    await run(bench, "one", replicates=2, report=report)
    assert [each.done for each in told] == sorted(each.done for each in told)
    assert (told[-1].done, told[-1].total, told[-1].unit) == (8, 8, "samples")


async def test_cancelled_in_the_middle_it_goes_on_with_the_rest(bench):
    many = [Sample(id=f"m{n}", input=f"tide number {n}", reference="tide", gold="tides.md", digest=f"{n}") for n in range(40)]
    with anyio.CancelScope() as scope:

        async def report(_progress):
            scope.cancel()

        await run(bench, "one", samples=many, concurrency=2, report=report)
    assert scope.cancelled_caught
    assert await status(bench, "one") == "cancelled"
    before = await kept(bench, "one")
    assert 1 <= len(before) < 40
    called = sum(each.kind == "llm" for each in bench.spans)
    shown = await run(bench, "one", samples=many)
    assert (shown["samples"], shown["errors"], await status(bench, "one")) == (40, 0, "done")
    assert sum(each.kind == "llm" and each.status == "ok" for each in bench.spans) <= 40 + 2
    assert sum(each.kind == "llm" for each in bench.spans) - called <= 40 - len(before)
    after = {each["sample"]: each for each in await kept(bench, "one")}
    assert all(after[each["sample"]] == each for each in before)


async def test_a_full_disk_stops_it_with_one_clear_error(bench):
    async def report(progress):
        raise StorageFull("the disk is full; nothing was written")

    with pytest.raises(StorageFull, match="the disk is full"):
        await run(bench, "one", report=report)
    assert await status(bench, "one") == "failed"


@pytest.mark.parametrize(("options", "message"), [({"samples": []}, "has no sample"), ({"scorers": ()}, "there is no scorer")])
async def test_nothing_to_do_is_refused(bench, options, message):
    with pytest.raises(Invalid, match=message):
        await run(bench, "one", **options)
    assert await status(bench, "one") == "failed"


def mine(function, *reads):
    scorer = OwnScorer(name="mine", reads=frozenset(reads), function=function, version="1")
    return Chosen(metric="mine", scorer=scorer, digest="sha256:mine")


async def test_what_a_scorer_raises_is_kept_and_tried_again(bench):
    calls = []

    def flaky(output):
        calls.append(output)
        if len(calls) <= 4 and "moon" in output:
            raise ValueError("not today")
        return len(output) > 3

    shown = await run(bench, "one", scorers=("contains", mine(flaky, "output")))
    assert (shown["errors"], shown["metrics"]["mine"]["n"], shown["metrics"]["contains"]["n"]) == (0, 3, 4)
    first = (await kept(bench, "one"))[0]
    assert (first["scores"]["mine"], first["score_errors"]) == (None, {"mine": "ValueError: not today"})
    again = await run(bench, "two", scorers=("contains", mine(flaky, "output")))
    assert (len(calls), again["metrics"]["mine"]["n"], again["reused"]["scores"]) == (5, 4, 7)


async def test_a_plugin_that_raises_anything_does_not_end_the_evaluation(bench):
    class Broken:
        name, reads, version, binary = "broken", frozenset({"output"}), "1", False

        async def score(self, fields):
            raise KeyError("oops")

    shown = await run(bench, "one", scorers=("contains", Chosen(metric="broken", scorer=Broken(), digest="sha256:b")))
    assert (shown["metrics"]["contains"]["n"], shown["metrics"]["broken"]["n"]) == (4, 0)
    assert (await kept(bench, "one"))[0]["score_errors"] == {"broken": "KeyError: 'oops'"}


async def test_a_scorer_that_reads_the_text_and_the_row(bench):
    seen = []
    scorer = mine(lambda **fields: seen.append(fields) or 1, "retrieved_text", "metadata", "input", "gold")
    await run(bench, "one", scorers=(scorer,), limit=1)
    (fields,) = seen
    assert fields["metadata"] == {"topic": "tides"}
    assert (fields["input"], fields["gold"]) == ("tide moon", "tides.md")
    assert "moon" in fields["retrieved_text"][0]


async def test_without_a_search_there_is_nothing_to_recall(bench):
    bench.project.add("prompt/alone", text="{{question}}", model="model/m", variables={"question": "string"})
    shown = await run(bench, "one", root="prompt/alone")
    assert (shown["metrics"]["contains"]["n"], shown["metrics"]["recall_at_k"]["n"]) == (4, 0)
    assert (await kept(bench, "one"))[0]["score_errors"] == {"recall_at_k": "the application has no step that retrieves"}


async def test_a_search_that_finds_nothing_recalls_nothing(bench):
    lost = [Sample(id="x", input="zzzz", gold="tides.md", digest="x")]
    shown = await run(bench, "one", scorers=("recall_at_k",), samples=lost)
    assert shown["metrics"]["recall_at_k"]["mean"] == 0.0


async def test_columns_fill_the_inputs_of_their_name(bench):
    bench.project.add("prompt/two", text="{{a}}-{{b}}", model="model/m", variables={"a": "string", "b": "string"})
    rows = [
        Sample(id="1", input="x", row={"b": "y"}, reference="x-y", digest="1"),
        Sample(id="2", input={"a": "p", "b": "q"}, reference="p-q", digest="2"),
    ]
    shown = await run(bench, "one", root="prompt/two", scorers=("exact_match",), samples=rows)
    assert [each["output"] for each in await kept(bench, "one")] == ["x-y", "p-q"]
    assert shown["metrics"]["exact_match"]["n"] == 2


async def test_the_scorers_of_a_dataset_are_those_that_fit(bench):
    chosen = choose_scorers((), dataset=DATASET, project=lambda name: DATASET)
    shown = await run(bench, "one", scorers=chosen)
    assert list(shown["metrics"])[:6] == ["exact_match", "contains", "token_f1", "recall_at_k", "ndcg_at_k", "mrr"]
