"""`tidemill pipeline`: runs of pipelines, started, seen, followed and stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tidemill.cli.figures import duration, moment
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.pipeline_tree import STATUS_TONES, run_tree, step_line
from tidemill.cli.run import read_inputs
from tidemill.cli.screen import clean, note, paint, say, say_json
from tidemill.cli.table import Cell, Column, table

if TYPE_CHECKING:
    from tidemill.client import AsyncClient
    from tidemill.client.pipelines import LineJson, PipelineJson, PipelineRunJson

_FAILED = 1
_CANCELLED = 6


async def run(
    pipeline: str,
    /,
    *,
    input_: Annotated[tuple[str, ...], Parameter(name=["--input", "-i"])] = (),
    detach: bool = False,
    wait: bool = False,
    run_id: str | None = None,
    options: Options = DEFAULTS,
) -> int:
    """Start a pipeline and watch it. It goes on when the watching stops.

    Watching ends when the run has ended, or when all that is left waits for a person. Exit code 1 when a step failed.

    :param pipeline: The pipeline, as in pipeline/improve or improve@v3.
    :param input_: NAME=TEXT, once for each input that differs; NAME:=JSON gives any other value.
    :param detach: Start it and return.
    :param wait: Keep watching while it waits for a person.
    :param run_id: The run's id, of your making: the same id again is the same run.
    """
    async with open_client(options) as client:
        began = await client.run_pipeline(pipeline, read_inputs(input_), run_id=run_id)
        if detach:
            if options.json:
                say_json(began)
            else:
                say(f"run {began.get('id')} of {began.get('version')}")
            return 0
        ended = await _watch(client, began, quiet=options.json, wait=wait)
        if options.json:
            say_json(ended)
    return _code(ended)


async def show(run: str, /, *, full: bool = False, options: Options = DEFAULTS) -> None:
    """Show a run: how every step stands, how long it took, whether it was used again, digests.

    :param run: The run's id or the beginning of it, or a pipeline for its last run.
    :param full: Show what went in and came out.
    """
    async with open_client(options) as client:
        found = await client.pipeline_run(await _run_of(client, run))
    if options.json:
        say_json(found)
        return
    for line in run_tree(found, full=full):
        say(line)


async def logs(run: str, step: str | None = None, /, *, follow: bool = False, options: Options = DEFAULTS) -> None:
    """Print what the steps of a run wrote.

    :param run: The run's id or the beginning of it, or a pipeline for its last run.
    :param step: Only this step.
    :param follow: Go on until the run has ended.
    """
    from tidemill.client.pipelines import ENDED

    async with open_client(options) as client:
        found = await client.pipeline_run(await _run_of(client, run))
        names = max((len(each.get("id", "")) for each in found.get("steps", ())), default=0)
        after: str | None = None
        while True:
            ended = not follow or found.get("status") in ENDED
            lines = await client.pipeline_lines(str(found.get("id")), step=step, after=after)
            for each in lines:
                _print_line(each, names=names, json=options.json)
            after = lines[-1].get("cursor") if lines else after
            if ended:
                return
            found = await _next(client, found)


async def cancel(run: str, /, *, options: Options = DEFAULTS) -> None:
    """Stop a run and the jobs of its steps; what it finished stays.

    :param run: The run's id or the beginning of it, or a pipeline for its last run.
    """
    async with open_client(options) as client:
        ended = await client.cancel_pipeline_run(await _run_of(client, run))
    if options.json:
        say_json(ended)
    else:
        say(f"run {ended.get('id')} is {ended.get('status')}")


async def list_runs(pipeline: str | None = None, /, *, limit: int = 20, options: Options = DEFAULTS) -> None:
    """List the pipelines and what starts them, and the newest runs.

    :param pipeline: Only this pipeline's runs.
    :param limit: At most N runs.
    """
    async with open_client(options) as client:
        pipelines = () if pipeline else await client.pipelines()
        runs = await client.pipeline_runs(pipeline, limit=limit)
    if options.json:
        say_json({"pipelines": pipelines, "items": runs})
        return
    if pipelines:
        rows = [[each.get("name", ""), _starts(each), moment(each, "next")] for each in pipelines]
        for line in table([Column("pipeline"), Column("starts on"), Column("next")], rows):
            say(line)
        say()
    rows = [_run_row(each) for each in runs]
    columns = [Column("run"), Column("of"), Column("status"), Column("began"), Column("took"), Column("by")]
    for line in table(columns, rows) if rows else ["no run yet; start one: tidemill pipeline run NAME"]:
        say(line)


async def _watch(client: AsyncClient, began: PipelineRunJson, *, quiet: bool, wait: bool) -> PipelineRunJson:
    """Print each step as it ends, then how the run ended."""
    said: set[str] = set()
    last = began
    if not quiet:
        say(f"run {began.get('id')} of {began.get('version')}")
    async for found in client.follow_pipeline_run(str(began.get("id"))):
        last = found
        for step in found.get("steps", ()):
            state = f"{step.get('id')} {step.get('status')} {step.get('note') if step.get('status') == 'waiting' else ''}"
            if step.get("status") in {"pending", "running"} or state in said:
                continue
            said.add(state)
            if not quiet:
                say(f"  {step_line(step, found.get('steps', ()))}")
        if found.get("status") == "waiting" and not wait and _needs_a_person(found):
            if not quiet:
                goes_on = "with the next command" if client.in_process else "by itself"
                note(f"waits for a person and then goes on {goes_on}: tidemill pipeline show {found.get('id')}")
            return found
    if not quiet:
        status = last.get("status", "")
        say(f"{paint(status, STATUS_TONES.get(status, 'plain'))} in {duration(last.get('duration_ms'))}")
        if last.get("error"):
            say(paint(f"  {clean(last.get('error') or '')}", "bad"))
    return last


def _needs_a_person(found: PipelineRunJson) -> bool:
    waiting = [each for each in found.get("steps", ()) if each.get("status") == "waiting"]
    return all(each.get("kind") == "approve" for each in waiting)


def _code(ended: PipelineRunJson) -> int:
    return {"failed": _FAILED, "cancelled": _CANCELLED}.get(ended.get("status", ""), 0)


async def _run_of(client: AsyncClient, text: str) -> str:
    """A run's id; for a pipeline, that of its last run."""
    from tidemill.core.errors import NotFound

    if not text.startswith("pipeline/"):
        return text
    runs = await client.pipeline_runs(text, limit=1)
    if not runs:
        raise NotFound(f"{text} has not run yet", hint=f"Start it: tidemill pipeline run {text}")
    return str(runs[0].get("id"))


async def _next(client: AsyncClient, found: PipelineRunJson) -> PipelineRunJson:
    import anyio

    await anyio.sleep(0.25)
    return await client.pipeline_run(str(found.get("id")))


def _print_line(line: LineJson, *, names: int, json: bool) -> None:
    if json:
        say_json(line)
    else:
        say(f"{str(line.get('at', ''))[11:19]}  {line.get('step', ''):<{names}}  {clean(line.get('line', ''))}")


def _run_row(run: PipelineRunJson) -> Sequence[Cell | str]:
    status = run.get("status", "")
    return [
        run.get("id", ""),
        run.get("version", "").removeprefix("pipeline/"),
        Cell(status, STATUS_TONES.get(status, "plain")),
        moment(run, "created"),
        duration(run.get("duration_ms")),
        f"{run.get('trigger', '')}, {run.get('who', '')}",
    ]


def _starts(pipeline: PipelineJson) -> str:
    return ", ".join(f"{name} {value}" for name, value in (pipeline.get("on") or {}).items()) or "a person"


COMMANDS = {"run": run, "show": show, "logs": logs, "cancel": cancel, "list": list_runs}
