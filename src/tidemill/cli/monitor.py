"""`tidemill monitor`: live traffic against a reference, what moved, and samples worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cyclopts import Parameter

from tidemill.cli.figures import count, counted, moment
from tidemill.cli.monitor_run import print_monitor, print_run, verdict_cell
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.progress import follow_job
from tidemill.cli.screen import say, say_json
from tidemill.cli.table import Column, table
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class Once:
    """What to watch without a monitor."""

    endpoint: str = ""
    """Instead of a monitor: the endpoint to watch."""

    release: str = ""
    """Instead of a monitor: the release to watch, by its digest."""

    reference: str = ""
    """What to compare with: dataset/NAME, a length of time before the window as in 7d, or FROM/TO."""

    embedder: str = ""
    """The embedder. Default: the local one."""

    scorer: tuple[str, ...] = ()
    """Also score a tenth of the traces by this scorer; give it again for more."""

    reads: Literal["input", "output"] = "input"
    """What of a request is compared."""

    alpha: float = 0.05
    """The rate of false alarms that is allowed."""


_NOTHING = Once()


async def run(
    monitor: str = "",
    /,
    *,
    once: Once = _NOTHING,
    window: str = "",
    from_: str = "",
    to: str = "",
    check: bool = False,
    options: Options = DEFAULTS,
) -> int:
    """Look at live traffic now, by a monitor or by what is given here.

    Says whether the window differs from the reference, how often that would be said without cause, and what moved.

    :param monitor: The monitor, as in monitor/intents.
    :param window: How far back to look, as in 24h. Default: the monitor's, else 1d.
    :param from_: Where the window begins, ISO 8601.
    :param to: Where the window ends. Default: now.
    :param check: Exit with 1 when there is drift.
    """
    spec = _spec(monitor, once)
    async with open_client(options) as client:
        started = await client.start_monitor(
            monitor or None, spec=spec, window=window or None, from_=from_ or None, to=to or None
        )
        await follow_job(client, started, label="monitor", quiet=options.json)
        found = await client.monitor_run(started)
    if options.json:
        say_json(found)
    else:
        print_run(found)
    return 1 if check and found.get("alarm") else 0


async def show(what: str, /, *, options: Options = DEFAULTS) -> None:
    """Show a run, or a monitor with the trend of its live scores.

    :param what: A run's id or the beginning of it, or monitor/NAME.
    """
    async with open_client(options) as client:
        found = await (client.monitor(what) if what.startswith("monitor/") else client.monitor_run(what))
    if options.json:
        say_json(found)
    elif "runs" in found:
        print_monitor(found)
    else:
        print_run(found)


async def list_monitors(*, monitor: str = "", limit: int = 20, options: Options = DEFAULTS) -> None:
    """List monitors and their runs, the newest first.

    :param monitor: Only runs of this monitor.
    :param limit: At most N runs.
    """
    async with open_client(options) as client:
        known: Sequence[JsonObject] = [] if monitor else await client.monitors()
        runs = await client.monitor_runs(monitor=monitor or None, limit=limit)
    if options.json:
        say_json({"monitors": known, "items": runs})
        return
    for each in known:
        say(f"{each['ref']}  {counted(_number(each['open_alerts']), 'open alert')}")
    rows = [
        [str(each["id"]), verdict_cell(each), moment(each, "created"), str(each["monitor"] or each["target"])[:24]]
        for each in runs
    ]
    columns = [Column("run"), Column("verdict"), Column("when"), Column("watched by")]
    for line in table(columns, rows) if rows else ["no run yet: tidemill monitor run monitor/NAME"]:
        say(line)


async def accept(run: str, /, *, to: str, ids: tuple[int, ...] = (), options: Options = DEFAULTS) -> None:
    """Make samples that a run proposes part of a dataset's next version.

    What the dataset asks already is not taken twice. Right answers are left for a person to give.

    :param run: The run's id or the beginning of it.
    :param to: The dataset, which is made when it is missing.
    :param ids: Only this proposal, by its number; give it again for more. Default: all.
    """
    async with open_client(options) as client:
        done = await client.accept_samples(run, to=to, ids=ids or None)
    if options.json:
        say_json(done)
        return
    say(f"{done['dataset']}  {counted(_number(done['added']), 'new sample')}, {count(_number(done['rows']))} in all")
    if done["known"]:
        say(f"  {counted(_number(done['known']), 'sample')} were there already")


def _spec(monitor: str, once: Once) -> JsonObject | None:
    """A monitor that is kept nowhere; None when one is named, which then says all of it itself."""
    asked: dict[str, Json] = {name: getattr(once, name) for name in ("endpoint", "release", "reference", "embedder")}
    asked = {name: each for name, each in asked.items() if each}
    if once.scorer:
        asked["quality"] = {"scorers": list(once.scorer)}
    if monitor and (asked or once != _NOTHING):
        raise Invalid(f"{monitor} says already what it watches", hint="Leave --endpoint, --reference and the like out.")
    if not monitor and not {"endpoint", "release"} & asked.keys():
        raise Invalid("what shall be watched is missing", hint="Type: tidemill monitor run monitor/NAME, or give --endpoint.")
    return None if monitor else {**asked, "reads": once.reads, "alpha": once.alpha}


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0


COMMANDS = {"run": run, "show": show, "list": list_monitors, "accept": accept}
