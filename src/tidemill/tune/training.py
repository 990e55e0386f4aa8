"""Keeping the trainer's process: started, listened to, started again at its checkpoint when it dies, gone when we are."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio.to_thread

from tidemill.core.digests import digest_json
from tidemill.core.errors import Unavailable, error_from_code
from tidemill.core.json import Json
from tidemill.tune.course import LOSSES
from tidemill.tune.extra import code_digest, environment
from tidemill.tune.recipe import Recipe
from tidemill.tune.rows import Row

_DEATHS = 3
_LONGEST_LINE = 1024 * 1024
SPEED = "speed.json"
_ENVIRON = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is trained. `base` is the GGUF file, `checks` prompts as the engine writes them, `home` where runs are kept."""

    recipe: Recipe
    base: Path
    base_digest: str
    rows: Sequence[Row]
    checks: Sequence[Mapping[str, Json]]
    name: str
    home: Path

    @functools.cached_property
    def key(self) -> str:
        """What the result depends on: two orders with the same key give the same adapter."""
        rows: list[Json] = [each.as_json() for each in self.rows]
        recipe = {name: each for name, each in self.recipe.as_json().items() if name != "checkpoint_every"}
        parts: dict[str, Json] = {"recipe": recipe, "base": self.base_digest, "rows": rows, "name": self.name}
        return digest_json({**parts, "code": code_digest(), "environment": cast("Json", environment())})

    @property
    def folder(self) -> Path:
        """Where the run keeps its checkpoints and its result, until the result is registered."""
        return runs_folder(self.home, self.key)

    @property
    def cache(self) -> Path:
        """Where the base is kept dequantised."""
        return self.home / "bases" / self.base_digest.removeprefix("sha256:")[:32]


@dataclass(kw_only=True, slots=True)
class Trained:
    """A finished run: files in its folder, and what it took in this attempt."""

    adapter: Path
    model: Path
    losses: list[float] = field(default_factory=list[float])
    tokens: int = 0
    seconds: float = 0.0
    peak_mb: int = 0


OnStep = Callable[[int], Awaitable[None]]


async def train(order: Order, *, on_step: OnStep) -> Trained:
    """Train to the end. A trainer that is killed is started again where its last checkpoint was, three times in a row at most.

    `on_step` is told how many steps are done. Cancelling it ends the trainer; the checkpoint stays.
    """
    folder = order.folder
    await anyio.to_thread.run_sync(_write_order, order)
    result = Trained(adapter=folder / "adapter", model=folder / "model.gguf")
    deaths, best = 0, -1
    while True:
        step, code = await _attempt(order, result, on_step)
        if code is None:
            result.losses = read_losses(folder)
            return result
        deaths = 1 if step > best else deaths + 1
        best = max(best, step)
        if deaths >= _DEATHS:
            raise Unavailable(
                f"the trainer died {deaths} times after step {step} (exit {code})",
                hint="Is there enough memory? Start the same tune again: it goes on at its last checkpoint.",
            )


def read_losses(folder: Path) -> list[float]:
    """The loss of each step that a run has done, from the first."""
    try:
        lines = (folder / LOSSES).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    losses: list[float] = []
    for each in lines:
        with contextlib.suppress(ValueError):  # the last line may be half written
            losses.append(float(json.loads(each)[1]))
    return losses


def measured_speed(cache: Path) -> float | None:
    """Tokens a second of the last run with this base here; None before the first."""
    try:
        return float(json.loads((cache / SPEED).read_text("utf-8"))["tokens_per_second"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError):
        return None


def runs_folder(home: Path, key: str) -> Path:
    """Where the run with this key keeps its files."""
    return home / "runs" / key.removeprefix("sha256:")[:32]


async def _attempt(order: Order, result: Trained, on_step: OnStep) -> tuple[int, int | None]:
    """One process to its end: the step that it came to, and its exit code when it died without a word."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tidemill.tune.trainer",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **_ENVIRON},
        start_new_session=True,  # so that Ctrl-C in a terminal reaches the parent alone
        limit=_LONGEST_LINE,
    )  # fmt: skip
    step = 0
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps(_order_json(order)).encode() + b"\n")
            await process.stdin.drain()
        (order.folder / "pid").write_text(str(process.pid), "utf-8")
        async for line in process.stdout:
            event: Mapping[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
            match event.get("event"):
                case "error":
                    raise error_from_code(event["code"], event["message"], hint=event["hint"], where=event.get("where", ""))
                case "begin":
                    step = int(event["step"])
                    await on_step(step)
                case "step":
                    step = int(event["step"])
                    result.tokens += int(event["tokens"])
                    result.seconds += float(event["seconds"])
                    await on_step(step)
                case "done":
                    result.peak_mb = int(event["peak_mb"])
                    _note_speed(order.cache, result)
                    return step, None
                case _:
                    pass
        return step, await process.wait()
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    with anyio.CancelScope(shield=True):
        await process.wait()
        # The pipes' transports are closed by the loop only once it has seen their ends.
        if process.stdin is not None:
            process.stdin.close()
        if process.stdout is not None:
            with contextlib.suppress(ValueError):
                await process.stdout.read()


def _write_order(order: Order) -> None:
    order.folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(each.as_json()) + "\n" for each in order.rows)
    (order.folder / "rows.jsonl").write_text(text, "utf-8")


def _order_json(order: Order) -> dict[str, Json]:
    return {
        "recipe": order.recipe.as_json(),
        "base": str(order.base),
        "cache": str(order.cache),
        "folder": str(order.folder),
        "rows": str(order.folder / "rows.jsonl"),
        "checks": list(order.checks),
        "name": order.name,
    }


def _note_speed(cache: Path, result: Trained) -> None:
    if result.seconds > 0:
        speed = {"tokens_per_second": round(result.tokens / result.seconds, 1)}
        (cache / SPEED).write_text(json.dumps(speed), "utf-8")
