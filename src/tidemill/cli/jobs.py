"""`tidemill jobs`: long work, seen, followed and cancelled."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.cli.figures import as_text, count, moment
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.progress import follow_job
from tidemill.cli.screen import Tone, clean, one_line, say, say_json
from tidemill.cli.table import Cell, Column, table
from tidemill.client.shapes import JobJson

_TONES: Mapping[str, Tone] = {"done": "good", "failed": "bad", "cancelled": "unsure"}


async def list_jobs(*, limit: int = 20, options: Options = DEFAULTS) -> None:
    """List jobs, the newest first.

    :param limit: At most N.
    """
    async with open_client(options) as client:
        jobs = await client.jobs(limit=limit)
    if options.json:
        say_json({"items": jobs})
        return
    rows = [
        [
            each.get("id", ""),
            each.get("kind", ""),
            _status(each),
            _progress(each),
            one_line(each.get("error") or "", longest=80),
        ]
        for each in jobs
    ]
    columns = [Column("id"), Column("kind"), Column("status"), Column("progress"), Column("error")]
    for line in table(columns, rows) if rows else ["no job yet"]:
        say(line)


async def show_job(job: str, /, *, options: Options = DEFAULTS) -> None:
    """Show one job.

    :param job: The job's id.
    """
    async with open_client(options) as client:
        found = await client.job(job)
    if options.json:
        say_json(found)
        return
    say(f"{found.get('id')}  {found.get('kind')}  {found.get('status')}  {_progress(found)}")
    say(f"  began    {moment(found, 'created_ns', 'created')}")
    if found.get("error"):
        say(f"  error    {clean(found.get('error') or '')}")
    if found.get("result") is not None:
        say(f"  result   {one_line(as_text(found.get('result')), longest=88)}")


async def follow(job: str, /, *, options: Options = DEFAULTS) -> None:
    """Watch a job until it ends.

    :param job: The job's id.
    """
    async with open_client(options) as client:
        found = await follow_job(client, job, label=f"job {job}", quiet=options.json)
    if options.json:
        say_json(found)


async def cancel(job: str, /, *, options: Options = DEFAULTS) -> None:
    """Ask a job to stop; what it finished stays.

    :param job: The job's id.
    """
    async with open_client(options) as client:
        found = await client.cancel_job(job)
    if options.json:
        say_json(found)
    else:
        say(f"job {found.get('id')} is {found.get('status')}")


def _status(job: JobJson) -> Cell:
    status = job.get("status", "queued")
    return Cell(status, _TONES.get(status, "plain"))


def _progress(job: JobJson) -> str:
    progress = job.get("progress") or {}
    done, total = progress.get("done") or 0, progress.get("total")
    return f"{count(done)}{f' of {count(total)}' if total else ''} {progress.get('unit') or ''}".rstrip()


COMMANDS = {"list": list_jobs, "show": show_job, "follow": follow, "cancel": cancel}
