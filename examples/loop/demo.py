"""`make demo-loop`: an application's whole life on one machine, each stage one screen.

A router of intents is released and deployed; its users begin to ask for something new; the drift alarm names it; a person adds
the labels; the pipeline accepts samples, tunes a LoRA, measures, gates, waits for an approval, sends a share, then all; the
evidence is verified offline; the old release comes back with one command. Everything goes through the public client and the
same server as any user's work, in `.demo/loop`, which is made anew each time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import anyio

from examples.loop.people import USERS, Answer, reactions, use
from examples.loop.traffic import KNOWN, NEW, Utterance, source, utterances
from examples.server import running_server
from tidemill.cli.compare import print_comparison
from tidemill.cli.curve import curve
from tidemill.cli.gate import print_gate
from tidemill.cli.monitor_run import print_run
from tidemill.cli.pipeline_tree import run_tree
from tidemill.cli.progress import follow_job
from tidemill.cli.rollout import print_status
from tidemill.client import AsyncClient
from tidemill.client.pipelines import PipelineRunJson
from tidemill.client.shapes import GateJson
from tidemill.core.errors import Denied, TidemillError
from tidemill.core.json import JsonObject

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / ".demo" / "loop"
VERIFY = ROOT / "scripts" / "verify_evidence.py"
ENDPOINT = "endpoint/router"
JUDGED, USUAL, MORE = 7, 10, 4  # sentences an intent: that judge, that are asked at first, that are asked later
FRESH = 18  # of each new intent
SHARED = 40  # requests while the canary has its share, each by another user
ENOUGH = SHARED // 5  # answers of the canary before all get it
SHIFTS = 5  # so often others come and ask when the canary's share of the users was a small one


def stage(number: int, title: str) -> None:
    print(f"\n── {number}  {title} " + "─" * max(0, 92 - len(title)), flush=True)


def say(step: str, text: str) -> None:
    print(f"{step:<10} {text}", flush=True)


def copy_project(said: Mapping[str, Sequence[Utterance]]) -> None:
    """The demo's own copy; its judging set is written from the sentences that nobody will ask."""
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "tidemill").mkdir(parents=True)
    for name in ("tidemill.toml", "tidemill/router.yaml"):
        shutil.copyfile(HERE / name, WORK / name)
    rows = [
        {"id": f"{intent}-{number}", "text": each.text, "intent": intent}
        for intent in KNOWN
        for number, each in enumerate(said[intent][:JUDGED])
    ]
    (WORK / "tidemill" / "judge.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def bring_pipeline() -> None:
    """The monitor and the pipeline. As shipped, the alarm starts the pipeline by itself; here a person looks first."""
    lines = (HERE / "tidemill" / "improve.yaml").read_text("utf-8").splitlines(keepends=True)
    (WORK / "tidemill" / "improve.yaml").write_text("".join(each for each in lines if not each.startswith("on:")), "utf-8")


def learn_labels() -> None:
    """What a person does after the alarm: name the new intents in the prompt, and protect the endpoint."""
    spec = WORK / "tidemill" / "router.yaml"
    text = spec.read_text("utf-8")
    old = f"enum: [{', '.join(KNOWN)}]"
    assert old in text, old
    spec.write_text(text.replace(old, f"enum: [{', '.join((*KNOWN, *NEW))}]"), "utf-8")
    shutil.copyfile(HERE / "policy.yaml", WORK / "tidemill" / "policy.yaml")


async def release(client: AsyncClient) -> str:
    """Stage 1: the first release, measured and deployed; its digest."""
    await client.apply()
    digest = (await client.make_release("chain/router"))["digest"]
    evaluation, job = await client.start_evaluation(digest, data="dataset/judge", scorers=["exact_match"])
    await follow_job(client, job, label="evaluation")
    measured = (await client.evaluation(evaluation))["metrics"]["exact_match"]
    low, high = measured["interval"] or (0.0, 0.0)
    say("release", f"{digest[:19]}…  exact_match {measured['mean']:.2f} [{low:.2f}, {high:.2f}] on {measured['n']} requests")
    await client.deploy(digest, to=ENDPOINT)
    say("deploy", f"it answers at {ENDPOINT}")
    return digest


async def ask(client: AsyncClient, url: str, said: Sequence[Utterance], *, first_user: int = 0) -> Sequence[Answer]:
    """Let the simulated users ask, and say what they think of the answers."""
    started = time.monotonic()
    token = (WORK / ".tidemill" / "token").read_text("ascii").strip()
    answers = await use(url, token, said, first_user=first_user)
    await client.add_feedback_batch(reactions(answers))
    right = sum(each.is_right for each in answers)
    took = time.monotonic() - started
    say(
        "traffic",
        f"{len(answers)} requests by {len({each.user for each in answers})} users in {took:.0f} s, {right} answered right",
    )
    return answers


async def look(client: AsyncClient, *, seconds: float) -> Mapping[str, Any]:
    """The monitor, once, at what came in the last `seconds`."""
    run = await client.start_monitor("monitor/router", window=f"{seconds:.0f}s")
    await follow_job(client, run, label="monitor")
    found = await client.monitor_run(run)
    print_run(found)
    return found


class Improvement:
    """Stages 5 to 8: a run of the pipeline, told step by step, with the person and the users that it waits for."""

    def __init__(self, client: AsyncClient, url: str, reviewer: str, crowd: Sequence[Utterance]) -> None:
        self._client = client
        self._url = url
        self._reviewer = reviewer
        self._crowd = crowd
        self._told: set[str] = set()
        self._outputs: dict[str, Mapping[str, Any]] = {}

    async def run(self, *, window: float) -> PipelineRunJson:
        """Start it on the traffic of the last `window` seconds and follow it to its end."""
        inputs: JsonObject = {"window": f"{window:.0f}s", "share": "25%", "after": f"{ENOUGH} requests"}
        began = await self._client.run_pipeline("pipeline/improve", inputs)
        last = began
        async for last in self._client.follow_pipeline_run(str(began["id"])):
            for step in last.get("steps", ()):
                name, status = str(step.get("id")), str(step.get("status"))
                key = f"{name} {status}"
                if key not in self._told:
                    self._told.add(key)
                    await self._tell(name, status, step.get("output"))
        for line in run_tree(last):
            print(line)
        return last

    async def _tell(self, name: str, status: str, output: object) -> None:
        if status == "done" and isinstance(output, Mapping):
            self._outputs[name] = output
            teller = getattr(self, f"_told_{name}", None)
            if teller is not None:
                await teller()
        elif status == "waiting" and name == "approve":
            await self._approve()
        elif status == "waiting" and name == "promote":
            await self._share()

    async def _told_judge(self) -> None:
        output = self._outputs["judge"]
        stage(5, "Samples proposed, accepted with their corrections, and kept apart from what is trained on")
        say("judge", f"{output['dataset']}: {output['rows']} rows, {output['added']} of them new")

    async def _told_training(self) -> None:
        output = self._outputs["training"]
        say("training", f"{output['dataset']}: {output['rows']} rows, out of traffic and what users said of it")

    async def _told_tune(self) -> None:
        output = self._outputs["tune"]
        stage(6, "Tune: a LoRA on the local model")
        newest = (await self._client.tunes(limit=1))[0]
        found = await self._client.tune(str(newest["id"]))
        print("\n".join(curve(found.get("losses", ()))))
        speed = found.get("tokens_per_second")
        how = f"{output['steps']} steps on {output['rows']} rows in {output['seconds']:.0f} s, {speed} tokens/s"
        say("tune", f"{output['adapter']}, {how}")
        say("model", f"{output['model']}: merged, quantised, served by the same engine")

    async def _told_gate(self) -> None:
        stage(7, "Evaluate, gate, approve")
        before, after = self._outputs["before"]["evaluation"], self._outputs["evaluate"]["evaluation"]
        print_comparison(await self._client.compare(before, after), samples=None, names=("served", "tuned"))
        print_gate(cast("GateJson", self._outputs["gate"]))

    async def _approve(self) -> None:
        digest = self._outputs["release"]["release"]
        try:
            await self._client.deploy(digest, to=ENDPOINT)
        except Denied as error:
            say("policy", f"a deploy without approval is refused: {error.message.splitlines()[0]}")
        async with AsyncClient(url=self._url, token=self._reviewer) as ana:
            await ana.approve(digest, reason="better on the judging set, new intents included", target=ENDPOINT, expires="7d")
        say("approve", f"ana, reviewer, signs for {digest[:19]}…")

    async def _share(self) -> None:
        stage(8, "Canary, then everybody")
        digest, answered = self._outputs["release"]["release"], 0
        for shift in range(SHIFTS):
            answers = await ask(self._client, self._url, self._crowd, first_user=shift * USERS)
            answered += sum(each.release == digest for each in answers)
            if answered >= ENOUGH:
                break
        print_status(await self._client.rollout(ENDPOINT))

    async def _told_promote(self) -> None:
        output = self._outputs["promote"]
        say("promote", f"{ENDPOINT} serves {str(output['release'])[:19]}… to all")

    @property
    def released(self) -> str:
        """The digest of what was tuned, wired and locked."""
        return str(self._outputs["release"]["release"])


async def prove(client: AsyncClient, digest: str) -> None:
    """Stage 9: the evidence, written, and verified by a script that knows nothing of Tidemill."""
    pack = WORK / "evidence.zip"
    pack.write_bytes(await client.evidence(digest))
    say("evidence", f"{pack.relative_to(ROOT)}, {pack.stat().st_size / 1000:.0f} KB")
    command = [sys.executable, "-I", str(VERIFY), str(pack)]
    verified = await anyio.run_process(command, check=False, stderr=subprocess.STDOUT)
    print(verified.stdout.decode().rstrip())
    if verified.returncode:
        raise SystemExit("the evidence does not verify")
    report = await client.verify_audit()
    say("audit", f"{report.get('lines')} lines, the chain {'holds' if report.get('ok') else 'does not hold'}")


async def go_back(client: AsyncClient, url: str, first: str, new: Utterance) -> None:
    """Stage 10: the old release, with one command."""
    token = (WORK / ".tidemill" / "token").read_text("ascii").strip()
    now = (await use(url, token, [new]))[0]
    say("now", f"{new.text!r} -> {now.text}  ({now.release[:19]}…)")
    back = await client.rollback(ENDPOINT)
    assert back["release"] == first, back
    then = (await use(url, token, [new]))[0]
    say("rollback", f"{new.text!r} -> {then.text}  ({then.release[:19]}…)")


def people_ask(said: Mapping[str, Sequence[Utterance]]) -> tuple[list[Utterance], list[Utterance], list[Utterance]]:
    """What is asked at first, when the new intents come, and while the canary has its share; no sentence twice."""
    usual = [each for intent in KNOWN for each in said[intent][JUDGED : JUDGED + USUAL]]
    later = [each for intent in KNOWN for each in said[intent][JUDGED + USUAL : JUDGED + USUAL + MORE]]
    new = [each for intent in NEW for each in said[intent][:FRESH]]
    start = JUDGED + USUAL + MORE
    crowd = [each for intent in KNOWN for each in said[intent][start : start + 4]]
    crowd += [each for intent in NEW for each in said[intent][FRESH : FRESH + 8]]
    return usual, [*later, *new], crowd[:SHARED]


async def run() -> None:
    """The whole life."""
    started = time.monotonic()
    said = utterances()
    usual, changed, crowd = people_ask(said)
    copy_project(said)
    os.chdir(WORK)
    async with running_server(WORK) as url, AsyncClient(url=url) as client:
        say("server", f"{url}, data in {(WORK / '.tidemill').relative_to(ROOT)}; sentences: {source()}")
        stage(1, "Release and deploy")
        first = await release(client)
        stage(2, "Usual traffic: the monitor stays silent")
        bring_pipeline()
        await client.apply()
        began = time.monotonic()
        await ask(client, url, usual)
        await look(client, seconds=time.monotonic() - began + 1)
        stage(3, "Users bring new intents: the alarm names them")
        began = time.monotonic()
        await ask(client, url, changed)
        found = await look(client, seconds=time.monotonic() - began + 1)
        if not found.get("alarm"):
            raise SystemExit("the monitor found no drift")
        stage(4, "A person names the new intents, and protects the endpoint")
        learn_labels()
        applied = await client.apply()
        say("apply", ", ".join(str(each["ref"]) for each in applied["changes"]))
        reviewer = (await client.create_key(role="reviewer", person="ana"))["key"]
        improvement = Improvement(client, url, reviewer, crowd)
        ended = await improvement.run(window=time.monotonic() - began + 1)
        if ended.get("status") != "done":
            raise SystemExit(f"the pipeline ended {ended.get('status')}: {ended.get('error')}")
        stage(9, "Evidence, verified offline")
        await prove(client, improvement.released)
        stage(10, "The old release, with one command")
        await go_back(client, url, first, said[NEW[0]][-1])
    minutes = (time.monotonic() - started) / 60
    print(f"\nAll of it took {minutes:.0f} min. {AFTERWARDS}")


AFTERWARDS = """The model has 135 million parameters: it proves the road.
Go on in .demo/loop: tidemill up, then in another terminal

  tidemill pipeline show pipeline/improve     every step with its digests
  tidemill audit list                         who did what, in a chain that verifies
  tidemill maturity                           how far this project is, and the next three steps"""


def main() -> int:
    try:
        anyio.run(run)
    except KeyboardInterrupt:
        return 130
    except TidemillError as error:
        sys.stderr.write(f"error: {error}\n  {error.hint}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
