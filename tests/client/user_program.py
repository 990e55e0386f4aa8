# ruff: noqa: T201  (a program prints)
"""What somebody who uses the SDK writes; `test_typing.py` has it checked by pyright, strict. It is never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import assert_type

from tidemill import AsyncClient, Client
from tidemill.client.environments import PromotedJson
from tidemill.client.events import ServerEvent
from tidemill.client.shapes import EvaluationJson, JobJson, VersionJson
from tidemill.core.errors import Denied, TidemillError


def release_it(client: Client) -> str:
    applied = client.apply()
    print(len(applied["changes"]), [each["ref"] for each in applied["changes"]])
    assert_type(client.artifacts(kind="prompt", limit=3), Sequence[VersionJson])
    assert_type(client.iter_artifacts(), Iterator[VersionJson])
    run = client.run("chain/handbook", {"question": "What is a with statement?"})
    print(run["output"], run["usage"].get("input_tokens", 0), run["latency_ms"] + 1)
    for event in client.stream_run("chain/handbook", {"question": "?"}):
        assert_type(event, ServerEvent)
    evaluation = client.evaluate("chain/handbook", data="dataset/questions", scorers=["recall_at_k"], environment="staging")
    assert_type(evaluation, EvaluationJson)
    mean = evaluation["metrics"]["recall_at_k"]["mean"]
    print(mean + 1 if mean is not None else "not measured")
    if client.check_gate("gate/release", evaluation["id"])["result"] != "passed":
        raise SystemExit(1)
    try:
        done = client.promote(evaluation["release"], to="production")
    except Denied as error:
        print(error.message, error.hint, [each.message for each in error.problems])
        raise
    assert_type(done, PromotedJson)
    print(done["policy"].get("allowed"), done["connections"], done["evidence"]["gates"])
    endpoint = client.endpoint("endpoint/handbook")
    return client.deploy(done["release"], to="endpoint/handbook", if_match=endpoint.get("etag"))["release"] or ""


async def watch(job: str) -> JobJson:
    async with AsyncClient(retries=8, timeout=60) as client:
        assert_type(client.follow(job), AsyncIterator[JobJson])
        async for each in client.follow(job):
            print(each["status"], each.get("progress", {}).get("done"))
        return await client.finish(job)


def main() -> None:
    try:
        with Client(url="http://127.0.0.1:8710", project="docs", retries=2) as client:
            print(release_it(client), client.in_process, client.settings.project)
            print(client.call(lambda each: each.job("j"))["id"])
    except TidemillError as error:
        raise SystemExit(str(error)) from error
