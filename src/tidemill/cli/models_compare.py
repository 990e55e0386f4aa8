"""`tidemill models compare`: several models on one dataset, or several embedders under one index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, cast

from cyclopts import Parameter

from tidemill.cli.figures import NOTHING, about, count, counted, duration, figure, interval, money
from tidemill.cli.model_card import licence_cell
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.progress import follow_job
from tidemill.cli.screen import Tone, note, say, say_json, wrapped
from tidemill.cli.table import Cell, Column, table
from tidemill.core.json import Json, JsonObject

_MARKS: Mapping[str, tuple[str, Tone]] = {
    "front": ("* front", "good"), "undecided": ("? undecided", "unsure"), "dominated": ("- dominated", "quiet"),
}  # fmt: skip


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class Comparing:
    """What to compare, and how."""

    data: str
    """The dataset, as in dataset/questions; with a reference, or for embedders with gold documents."""

    embedders: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = ()
    """Compare these embedders instead, as in embedder/a embedder/b."""

    index: str | None = None
    """The index whose documents the embedders search."""

    app: str | None = None
    """Run this chain, agent or prompt with each model in its place, instead of the bare model."""

    scorers: Annotated[tuple[str, ...], Parameter(name="--scorer")] = ()
    """A scorer; give it again for more. Default: those that fit the dataset."""

    metric: Annotated[str | None, Parameter(name="--by")] = None
    """The metric that stands for quality."""

    n: Annotated[int, Parameter(name="-n")] = 1
    """How many times each sample is run."""

    limit: int | None = None
    """Only the first N samples."""

    load: int = 100_000
    """Requests a month, for the cost."""

    at_once: int = 4
    """How many samples run side by side; latencies depend on it."""


async def compare_models(*model: str, asked: Comparing, estimate: bool = False, options: Options = DEFAULTS) -> None:
    """Compare models by their answers, or embedders by what they retrieve.

    What was run before is not run again. A model is on the front when no other is shown to be better without being dearer or
    slower.

    :param model: The models, as in model/a model/b.
    :param estimate: Only say what it would take.
    """
    said = {each.name: getattr(asked, each.name) for each in fields(asked)}
    async with open_client(options) as client:
        started = await client.compare_models(models=model, estimate=estimate, **said)
        if not options.json:
            for line in _estimate_lines(cast("Sequence[JsonObject]", started["estimate"])):
                (say if estimate else note)(line)
        if estimate:
            if options.json:
                say_json(started)
            return
        job = await follow_job(client, str(started["job"]), label="comparing", quiet=options.json)
        result = cast("JsonObject", (await client.job(str(job.get("id")))).get("result"))
    if options.json:
        say_json({**result, "estimate": started["estimate"], "job": started["job"]})
    else:
        print_comparison(result)


def _estimate_lines(rows: Sequence[JsonObject]) -> list[str]:
    """`To run  62 of model/a (0 re-used), about $0.02, about 3 min`."""
    lines: list[str] = []
    for each in rows:
        seconds, cost = cast("float | None", each["seconds"]), cast("float | None", each["cost"])
        runs, reused = cast("int", each["runs"]), cast("int", each["reused"])
        if not runs:
            lines.append(f"To run    {each['candidate']}: nothing, {count(reused)} are re-used")
            continue
        time = about(seconds) if seconds else "time not known yet"
        price = "no price known" if cost is None else f"about {money(cost)}"
        lines.append(f"To run    {each['candidate']}: {count(runs)}, {count(reused)} re-used; {price}, {time}")
    return lines


def print_comparison(result: JsonObject) -> None:
    """The table: best quality first, the front marked."""
    metric = str(result["metric"])
    items = sorted(cast("Sequence[JsonObject]", result["items"]), key=lambda each: -(_mean(each, metric) or 0.0))
    what = f" in {result['app']}" if result.get("app") else f" under {result['index']}" if result.get("index") else ""
    say(f"{result['dataset']}{what}, {counted(cast('int', result['samples']), 'sample')}")
    say()
    for line in _quality(items, cast("Sequence[str]", result["metrics"]), best=metric):
        say(line)
    say()
    for line in _rest(items, result):
        say(line)
    say()
    for line in _notes(items, result):
        say(line)


def _quality(items: Sequence[JsonObject], metrics: Sequence[str], *, best: str) -> list[str]:
    order = [best, *(each for each in metrics if each != best)]
    rows = [
        [str(each["candidate"]), *(_with_interval(each, metric) for metric in order), count(cast("int", each["errors"]))]
        for each in items
    ]
    return table([Column("candidate"), *(Column(f"{each} [95%]", "point") for each in order), Column("errors", "right")], rows)


def _rest(items: Sequence[JsonObject], result: JsonObject) -> list[str]:
    columns = [
        Column("candidate"), Column("p50", "right"), Column("p95", "right"), Column("tokens/s", "point"),
        Column(f"cost of {count(cast('int', result['load']))}", "point"), Column("size", "right"), Column("licence"),
        Column(""),
    ]  # fmt: skip
    rows: list[list[Cell | str]] = []
    for each in items:
        latency = cast("Mapping[str, Json]", each["latency_ms"])
        speed = cast("float | None", each["tokens_per_second"])
        tone: Tone = "quiet" if latency["earlier"] else "plain"
        rows.append(
            [
                str(each["candidate"]),
                Cell(duration(cast("float | None", latency["p50"])), tone),
                Cell(duration(cast("float | None", latency["p95"])), tone),
                NOTHING if speed is None else f"{speed:,.1f}",
                _cost(cast("Mapping[str, Json]", each["cost"])),
                _size(each),
                licence_cell(cast("Mapping[str, Json]", each["licence"])),
                Cell(*_MARKS[str(each["mark"])]),
            ]
        )
    return table(columns, rows)


def _cost(cost: Mapping[str, Json]) -> str:
    bounds = cast("Sequence[float] | None", cost.get("interval"))
    mean = cast("float | None", cost["per_month"])
    return money(mean) + (f" {interval('cost', bounds)}" if bounds and mean else "")


def _size(item: JsonObject) -> str:
    size, parameters = cast("int | None", item["size_bytes"]), cast("float | None", item["parameters"])
    if size is not None:
        return f"{size / 1e6:,.0f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"
    return NOTHING if parameters is None else f"{parameters / 1e9:g}B"


def _mean(item: JsonObject, metric: str) -> float | None:
    found = cast("Mapping[str, Mapping[str, float | None]]", item["metrics"]).get(metric)
    return None if found is None else found["mean"]


def _with_interval(item: JsonObject, metric: str) -> str:
    found = cast("Mapping[str, Json]", cast("Mapping[str, Json]", item["metrics"]).get(metric) or {})
    mean = cast("float | None", found.get("mean"))
    return f"{figure(metric, mean)} {interval(metric, cast('Sequence[float] | None', found.get('interval')))}"


def _notes(items: Sequence[JsonObject], result: JsonObject) -> list[str]:
    """What a reader must know of these figures."""
    notes = [
        f"{each['candidate']} {_MARKS[str(each['mark'])][0][2:]}: {_because(each)}" for each in items if each["mark"] != "front"
    ]
    at_once = cast("int", result["at_once"])
    notes.append(f"Latencies with {counted(at_once, 'sample')} at a time.")
    if not result["timed"]:
        notes.append(
            "Some outputs were re-used: their latencies are from when they were made, and the front leaves latency out."
        )
    if any(cast("Mapping[str, Json]", each["cost"]).get("priced_by") == "catalogue" for each in items):
        notes.append("Some costs are reckoned with prices from the catalogue: tidemill models show NAME.")
    if any(cast("int", each["errors"]) for each in items):
        notes.append("A run that failed counts as the worst score.")
    return [line for each in notes for line in wrapped(each)]


def _because(item: JsonObject) -> str:
    others = ", ".join(cast("Sequence[str]", item["because_of"]))
    if item["mark"] == "dominated":
        return f"{others} is shown to be better, and is neither dearer nor slower"
    return f"{others} is cheaper or faster, and no loss of quality is shown"
