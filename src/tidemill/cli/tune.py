"""`tidemill tune`: train an adapter for a model that runs here."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.cli.curve import curve
from tidemill.cli.figures import about, count, counted, duration
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.progress import ProgressLine
from tidemill.cli.screen import note, paint, say, say_json
from tidemill.cli.table import Column, table
from tidemill.core.errors import Invalid
from tidemill.core.refs import parse_ref

if TYPE_CHECKING:
    from tidemill.client import AsyncClient
    from tidemill.client.files import Collected
    from tidemill.client.tune import EstimateJson, TuneJson
    from tidemill.core.settings import Settings

_ENDINGS = (".yaml", ".yml")


async def tune(
    spec: str,
    /,
    *,
    data_from: str | None = None,
    output: str | None = None,
    estimate: bool = False,
    detach: bool = False,
    options: Options = DEFAULTS,
) -> None:
    """Train an adapter for a local model, merge it, and register the model that comes of it.

    What it takes is said first. Ctrl-C stops the watching; a run that was killed goes on at its last checkpoint.

    :param spec: A file with a document of kind tune, which is applied first, or a tune that was applied, as in tune/router.
    :param data_from: Another dataset in place of the tune's own, as in dataset/intents@v2.
    :param output: Another name for the model and the adapter.
    :param estimate: Only say what it would take.
    :param detach: Start it and return.
    """
    async with open_client(options) as client:
        named = await _apply(client, spec) if spec.endswith(_ENDINGS) else str(parse_ref(spec, kind="tune"))
        if estimate:
            found = await client.estimate_tune(named, data=data_from, output=output)
            say_json(found) if options.json else print_estimate(named, found)
            return
        job, expected = await client.start_tune(named, data=data_from, output=output)
        if not options.json:
            print_estimate(named, expected)
        if not detach:
            await _follow(client, job, quiet=options.json)
        ended = await client.tune(job)
    if options.json:
        say_json(ended)
    elif detach:
        say(f"Next      tidemill tune show {job}")
    else:
        print_tune(ended)


async def show(run: str, /, *, options: Options = DEFAULTS) -> None:
    """Show a run: how far it is, its loss, and what came of it.

    :param run: The run's id, which is that of its job.
    """
    async with open_client(options) as client:
        found = await client.tune(run)
    if options.json:
        say_json(found)
    else:
        print_tune(found)


async def list_tunes(*, limit: int = 20, options: Options = DEFAULTS) -> None:
    """List runs, the newest first.

    :param limit: At most N.
    """
    async with open_client(options) as client:
        found = await client.tunes(limit=limit)
    if options.json:
        say_json({"items": found})
        return
    rows = [
        [each.get("id", ""), each.get("tune", ""), each.get("status", ""), _steps(each), each.get("model") or "-"]
        for each in found
    ]
    columns = [Column("id"), Column("tune"), Column("status"), Column("steps"), Column("model")]
    for line in table(columns, rows) if rows else ["no run yet: tidemill tune SPEC.yaml"]:
        say(line)


def print_estimate(named: str, found: EstimateJson) -> None:
    """What a run takes, in three lines, and what to know about its data."""
    rows, steps = found.get("rows", 0), found.get("steps", 0)
    say(f"{named}  {counted(rows, 'row')}, {counted(steps, 'step')}, {found.get('epochs', 0):g} epochs")
    speed = f"{found.get('speed', 0):.0f} tokens/s {'as measured here' if found.get('measured') else 'as is usual'}"
    say(f"Takes     {count(found.get('tokens', 0))} tokens, {about(60 * found.get('minutes', 0.0))} at {speed}")
    say(f"Memory    {found.get('memory_mb', 0) / 1000:.1f} GB, on one thread")
    for each in found.get("notes") or ():
        say(f"{paint('note', 'unsure')}      {each}")


def print_tune(found: TuneJson) -> None:
    """A run: status, loss, and what to type next."""
    say(f"tune {found.get('id')}  {found.get('tune')}  {found.get('status')}  {_steps(found)}")
    losses = found.get("losses") or []
    for line in curve(losses):
        say(line)
    if losses:
        say(f"{'Loss':<10}{losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    if found.get("error"):
        say(f"{paint('error', 'bad')}     {found.get('error')}")
    if not found.get("model"):
        return
    if found.get("reused"):
        say(f"{'Re-used':<10}this was trained before, and nothing was trained again")
    elif found.get("seconds"):
        speed = found.get("tokens_per_second") or 0
        say(f"{'Took':<10}{duration(1000 * (found.get('seconds') or 0))}, {speed:.0f} tokens/s, "
            f"{(found.get('peak_mb') or 0) / 1000:.1f} GB")  # fmt: skip
    say(f"{'Made':<10}{found.get('adapter')}, and {found.get('model')} with it merged in")
    judging = str(next(iter(found.get("judging") or ()), "dataset/NAME")).partition("@")[0]
    say(f"{'Next':<10}tidemill eval {str(found.get('model')).partition('@')[0]} --data {judging}")


async def _apply(client: AsyncClient, path: str) -> str:
    """Apply the documents of one file; the tune among them, at the version that it has now."""
    import anyio.to_thread

    collected, bare = await anyio.to_thread.run_sync(_read_file, client.settings, path)
    applied = await client.apply(collected, whole=False)
    return next(str(each["ref"]) for each in applied.get("versions", ()) if str(each["ref"]).partition("@")[0] == bare)


def _read_file(settings: Settings, path: str) -> tuple[Collected, str]:
    """The file with what it names, and the one tune in it."""
    from tidemill.client.files import collect
    from tidemill.core.documents import load_documents

    file = Path(path).resolve()
    if not file.is_file():
        raise Invalid(f"there is no file {path}", hint="Name a YAML file with a document of kind tune, or tune/NAME.")
    tunes = [each.bare for each in load_documents(file.read_bytes(), path=path) if each.kind == "tune"]
    if len(tunes) != 1:
        what = "no document of kind tune" if not tunes else f"{len(tunes)} tunes: {', '.join(tunes)}"
        raise Invalid(f"{path} has {what}", hint="Apply it, then name one: tidemill tune tune/NAME")
    root = settings.root if file.is_relative_to(settings.root) else file.parent
    return collect(replace(settings, root=root, paths=(file.relative_to(root).as_posix(),))), tunes[0]


async def _follow(client: AsyncClient, job_id: str, *, quiet: bool) -> None:
    """Watch a run: steps, time left, and the last loss. Raises what it failed with."""
    import anyio

    from tidemill.client.jobs import ended_well

    line = ProgressLine(label="tuning", started=time.monotonic())
    last = None
    try:
        async for job in client.follow(job_id):
            last = job
            if not quiet:
                losses = (await client.tune(job_id)).get("losses") or []
                line.label = f"tuning  loss {losses[-1]:.3f}" if losses else "tuning  preparing"
                line.show(job, now=time.monotonic())
    except anyio.get_cancelled_exc_class():
        line.clear()
        goes_on = "is taken up again by the next command" if client.in_process else "goes on"
        note(f"stopped watching; run {job_id} {goes_on}: tidemill tune show {job_id}")
        raise
    line.clear()
    ended_well(last or await client.job(job_id))


def _steps(found: TuneJson) -> str:
    progress = found.get("progress") or {}
    return f"{count(progress.get('done') or 0)} of {count(progress.get('total') or 0)} steps"


COMMAND = tune
COMMANDS = {"show": show, "list": list_tunes}
