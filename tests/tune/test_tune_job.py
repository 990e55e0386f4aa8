"""A run from the spec to a model that answers, through the client; and what happens when somebody kills it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from e2e.processes import Server, served
from tidemill.client import AsyncClient
from tidemill.core.errors import Conflict, Invalid, MissingExtra, NotFound, Unavailable
from tidemill.core.settings import Settings
from tidemill.tune.kinds import TuneKind
from tidemill.tune.recipe import recipe_for
from tidemill.tune.training import Order, train

NEEDED = ("torch", "transformers", "peft", "gguf", "xllamacpp", "chdb")
pytestmark = [
    pytest.mark.skipif(
        any(importlib.util.find_spec(each) is None for each in NEEDED),
        reason="the extras tune and local-models are not installed",
    ),
]
PROJECT = """
kind: model
name: tiny
provider: local
file: tiny.gguf
params: {temperature: 0, max_tokens: 4}
---
kind: dataset
name: train
path: train.jsonl
roles: {id: id, input: text, reference: intent}
---
kind: dataset
name: held
path: held.jsonl
roles: {id: id, input: text, reference: intent}
---
kind: tune
name: router
base: model/tiny
data: dataset/train
evaluate_on: dataset/held
steps: %d
batch: 4
max_tokens: 128
checkpoint_every: 2
learning_rate: 0.05
lora: {rank: 4}
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch) -> Settings:
    for name in [each for each in os.environ if each.startswith("TIDEMILL_")]:
        monkeypatch.delenv(name)
    return Settings(root=tmp_path, data=tmp_path / ".tidemill")


def write_project(folder: Path, *, steps: int = 6, extra: str = "", rows: int = 12, train: list | None = None) -> None:
    from tune.tiny import write_tiny

    write_tiny(folder / "tiny.gguf")
    (folder / "tidemill").mkdir(exist_ok=True)
    (folder / "tidemill" / "app.yaml").write_text(PROJECT % steps + extra)
    training = train or [{"id": f"t{each}", "text": f"send {each} euro", "intent": "ABC"[each % 3]} for each in range(rows)]
    held = [{"id": f"h{each}", "text": f"pay {each} euro", "intent": "ABC"[each % 3]} for each in range(5)]
    for name, content in (("train", training), ("held", held)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in content))


def trainer_of(settings: Settings) -> int:
    (found,) = settings.data.glob("tune/runs/*/pid")
    return int(found.read_text())


async def tuned(client: AsyncClient, job: str):
    await client.finish(job)
    return await client.tune(job)


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_tuned_model_is_registered_with_all_it_was_made_of_and_served(settings):
    write_project(settings.root)
    async with AsyncClient(settings=settings) as client:
        await client.apply()
        job, estimate = await client.start_tune("router")
        assert (estimate["rows"], estimate["steps"]) == (12, 6)
        again, _ = await client.start_tune("router")
        assert again == job  # the run under way, not a second one
        run = await tuned(client, job)
        assert (run["status"], run["adapter"], run["model"]) == ("done", "adapter/router@v1", "model/router@v1")
        assert len(run["losses"]) == 6
        assert run["tokens_per_second"] > 0

        adapter = await client.artifact("adapter/router")
        base, data, tune = [await client.artifact(each) for each in ("model/tiny", "dataset/train", "tune/router")]
        assert adapter["refs"] == {each["ref"].partition("@")[0]: each["digest"] for each in (base, data, tune)}
        assert set(adapter["blobs"]) == {"weights", "config", "log"}
        spec = adapter["spec"]
        assert (spec["seed"], spec["rows"], spec["rank"]) == (0, 12, 4)
        assert spec["code"].startswith("sha256:")
        assert {"torch", "peft", "python"} <= set(spec["environment"])
        model = await client.artifact("model/router")
        assert model["refs"] == {"adapter/router": adapter["digest"]}
        assert model["spec"]["params"] == {"temperature": 0, "max_tokens": 4}

        said = await client.run("model/router", {"input": "send 3 euro"})
        asked = await client.run("model/tiny", {"input": "send 3 euro"})
        assert said["output"] != asked["output"]
        assert not list(settings.data.glob("tune/runs/*"))  # what was kept for a resume is gone

        job, estimate = await client.start_tune("router")
        assert estimate["measured"]
        twice = await tuned(client, job)
        assert (twice["adapter"], twice["model"], twice["reused"]) == (run["adapter"], run["model"], True)


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_killed_trainer_goes_on_at_its_checkpoint_and_ends_the_same(settings):
    write_project(settings.root, steps=60)
    whole = replace(settings, root=settings.root / "whole", data=settings.root / "whole" / ".tidemill")
    (settings.root / "whole").mkdir()
    write_project(whole.root, steps=60)
    async with AsyncClient(settings=whole) as client:
        await client.apply()
        job, _ = await client.start_tune("router")
        wanted = await tuned(client, job)
        weights = (await client.artifact("adapter/router"))["blobs"]
    async with AsyncClient(settings=settings) as client:
        await client.apply()
        job, _ = await client.start_tune("router")
        killed = 0
        async for each in client.follow(job):
            if not killed and each["progress"]["done"] >= 5:
                killed = trainer_of(settings)
                os.kill(killed, signal.SIGKILL)
        assert killed
        run = await client.tune(job)
        assert run["status"] == "done", run["error"]
        assert run["losses"] == wanted["losses"]
        assert (await client.artifact("adapter/router"))["blobs"] == weights


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_cancelled_run_stops_its_trainer_and_may_be_taken_up_again(settings):
    write_project(settings.root, steps=3000)
    async with AsyncClient(settings=settings) as client:
        await client.apply()
        job, _ = await client.start_tune("router")
        async for each in client.follow(job):
            if each["progress"]["done"] >= 4:
                break
        gone = os.pidfd_open(trainer_of(settings))
        assert (await client.cancel_job(job))["status"] == "cancelled"
        await wait_until_gone(gone)
        with pytest.raises(Conflict, match="was cancelled"):
            await client.finish(job)
        assert list(settings.data.glob("tune/runs/*/checkpoint.pt"))
        with pytest.raises(NotFound):
            await client.artifact("adapter/router")
        job, _ = await client.start_tune("router")
        async for each in client.follow(job):
            if each["progress"]["done"]:
                assert each["progress"]["done"] >= 4
                break
        await client.cancel_job(job)


@pytest.mark.anyio
async def test_a_trainer_that_keeps_dying_is_given_up(tmp_path, monkeypatch):
    spec = TuneKind().parse({"base": "model/m", "data": "dataset/d"}, files=None).spec
    order = Order(
        recipe=recipe_for(spec, rows=8),
        base=tmp_path / "m.gguf",
        base_digest="sha256:1",
        rows=(),
        checks=(),
        name="m",
        home=tmp_path,
    )
    monkeypatch.setattr("sys.executable", "/bin/false")

    async def on_step(done: int) -> None:
        raise AssertionError(done)

    with pytest.raises(Unavailable, match="the trainer died 3 times after step 0") as caught:
        await train(order, on_step=on_step)
    assert "enough memory" in caught.value.hint


@pytest.mark.anyio
@pytest.mark.slow
async def test_what_the_trainer_refuses_is_what_the_run_failed_with(settings):
    train = [
        {"id": f"t{each}", "text": f"q {each} " + "long " * (99 * (each == 7)), "intent": "AB"[each % 2]} for each in range(20)
    ]
    write_project(settings.root, train=train)
    spec = settings.root / "tidemill" / "app.yaml"
    spec.write_text(spec.read_text() + "too_long: truncate\n")
    async with AsyncClient(settings=settings) as client:
        await client.apply()
        job, estimate = await client.start_tune("router")
        assert estimate["notes"][-1] == "rows longer than 128 tokens are cut at their end: t7"
        with pytest.raises(Unavailable, match="row t7: the prompt alone has"):
            await client.finish(job)
        run = await client.tune(job)
        assert (run["status"], run["model"]) == ("failed", None)
        assert "Raise max_tokens." in run["error"]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_killed_server_takes_its_trainer_along_and_the_next_one_goes_on(tmp_path):
    write_project(tmp_path, steps=80)
    server = Server(tmp_path)
    server.shell("apply", "--yes")
    job = server.post("/tunes", {"tune": "router"})["job"]
    server.wait_for_job(job, done=5)
    (pid,) = server.data.glob("tune/runs/*/pid")
    gone = os.pidfd_open(int(pid.read_text()))
    before = server.get(f"/tunes/{job}")["losses"]
    server.kill()
    anyio.run(wait_until_gone, gone)
    with served(tmp_path) as again:
        assert again.wait_for_job(job)["status"] == "done"
        run = again.get(f"/tunes/{job}")
        assert len(run["losses"]) == 80
        assert run["losses"][: len(before)] == before
        assert run["model"] == "model/router@v1"
        shown = again.shell("tune", "show", job).out
        assert "80 of 80 steps" in shown
        assert "adapter/router@v1, and model/router@v1" in shown


async def wait_until_gone(pidfd: int) -> None:
    with anyio.fail_after(10):
        await anyio.wait_readable(pidfd)
    os.close(pidfd)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ([{"id": f"t{each}", "text": f"q {each}", "intent": "AB"[each % 2]} for each in range(3)], "3 rows are too few"),
        ([{"id": f"t{each}", "text": f"q {each}", "intent": "A"} for each in range(20)], "every row has the same answer, 'A'"),
        (
            [
                {"id": f"t{each}", "text": f"q {each} " + "long " * (99 * (each == 7)), "intent": "AB"[each % 2]}
                for each in range(20)
            ],
            "1 rows are longer than 128 tokens: t7",
        ),
        (
            [
                {"id": f"t{each}", "text": f"{'Pay' if each == 2 else 'q'} {each}  EURO!", "intent": "AB"[each % 2]}
                for each in range(20)
            ],
            "1 training rows also stand in dataset/held",
        ),
    ],
    ids=["three rows", "one label", "too long", "a leak"],
)
@pytest.mark.anyio
async def test_unfit_data_is_refused_before_anything_starts(settings, train, said):
    write_project(settings.root, train=train)
    async with AsyncClient(settings=settings) as client:
        await client.apply()
        with pytest.raises(Invalid, match=said):
            await client.start_tune("router")
        with pytest.raises(Invalid, match=said):
            await client.estimate_tune("router")
        assert await client.tunes() == []


@pytest.mark.anyio
async def test_what_is_not_there_is_said(settings, monkeypatch):
    write_project(settings.root)
    async with AsyncClient(settings=settings) as client:
        await client.apply()
        with pytest.raises(NotFound, match="tune/rooter"):
            await client.start_tune("rooter")
        with pytest.raises(NotFound, match="dataset/none"):
            await client.start_tune("router", data="dataset/none")
        with pytest.raises(NotFound):
            await client.tune("none")
        real = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else real(name, *rest))
        with pytest.raises(MissingExtra, match="tuning a model needs the extra 'tune'") as caught:
            await client.start_tune("router")
        assert "pip install 'tidemill[tune]'" in caught.value.hint
        assert (await client.estimate_tune("router"))["rows"] == 12
