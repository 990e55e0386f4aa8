"""`tidemill rollout`: let a share of an endpoint's callers have another release, and see how it does."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Literal

from tidemill.cli.figures import NOTHING, count, counted, duration, moment, short
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, paint, say, say_json
from tidemill.cli.table import Cell, Column, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidemill.client.rollout_shapes import DifferenceJson, MeasuredJson, RolloutJson, VariantJson

Status = Literal["running", "promoted", "aborted"]


async def start(endpoint: str, /, *, to: str, share: str, options: Options = DEFAULTS) -> None:
    """Let a share of an endpoint's callers have another app.

    The same user always gets the same.

    :param endpoint: The endpoint, as in endpoint/handbook.
    :param to: What they get: an app, as in chain/handbook, or a release's digest.
    :param share: How many of them, in percent, as in 10%.
    """
    async with open_client(options) as client:
        started = await client.start_rollout(endpoint, app=to, share=share)
    if options.json:
        say_json(started)
        return
    _print_record(started)
    say(f"{'Next':<10}tidemill rollout status endpoint/{started.get('endpoint')}")


async def status(rollout: str, /, *, options: Options = DEFAULTS) -> None:
    """Show how the canary does beside the stable release.

    :param rollout: The endpoint, as in endpoint/handbook, for its last rollout; or a rollout's id.
    """
    async with open_client(options) as client:
        found = await client.rollout(rollout)
    if options.json:
        say_json(found)
    else:
        print_status(found)


async def promote(rollout: str, /, *, why: str = "", options: Options = DEFAULTS) -> None:
    """Let all callers have the canary. tidemill rollback brings the stable release back.

    :param rollout: The endpoint, as in endpoint/handbook; or a rollout's id.
    :param why: The reason, kept with the rollout.
    """
    async with open_client(options) as client:
        ended = await client.promote_rollout(rollout, why=why)
    if options.json:
        say_json(ended)
        return
    _print_record(ended)
    say(f"{'Back':<10}tidemill rollback endpoint/{ended.get('endpoint')}")


async def abort(rollout: str, /, *, why: str = "", options: Options = DEFAULTS) -> None:
    """Bring all callers back to the stable release.

    :param rollout: The endpoint, as in endpoint/handbook; or a rollout's id.
    :param why: The reason, kept with the rollout.
    """
    async with open_client(options) as client:
        ended = await client.abort_rollout(rollout, why=why)
    if options.json:
        say_json(ended)
    else:
        _print_record(ended)


async def list_rollouts(
    *, endpoint: str | None = None, status: Status | None = None, limit: int = 20, options: Options = DEFAULTS
) -> None:
    """List rollouts, the newest first.

    :param endpoint: Only of this endpoint.
    :param status: Only running, promoted or aborted.
    :param limit: At most N.
    """
    async with open_client(options) as client:
        found = await client.rollouts(endpoint=endpoint, status=status, limit=limit)
    if options.json:
        say_json({"items": found})
        return
    rows = [
        [
            f"endpoint/{each.get('endpoint')}",
            each.get("status", ""),
            _percent(each.get("steps", [{}])[-1].get("share")),
            short(each.get("canary", {}).get("release")),
            moment(each, "started"),
            each.get("started_by", ""),
        ]
        for each in found
    ]
    columns = [
        Column("endpoint"),
        Column("status"),
        Column("share", "right"),
        Column("canary"),
        Column("started"),
        Column("by"),
    ]
    empty = ["no rollout yet: tidemill rollout start endpoint/NAME --to chain/NAME --share 10%"]
    for line in table(columns, rows) if rows else empty:
        say(line)


def _print_record(found: RolloutJson) -> None:
    canary, stable = found.get("canary", {}).get("release"), found.get("stable", {}).get("release")
    name = f"endpoint/{found.get('endpoint')}"
    match found.get("status"):
        case "running":
            say(name)
            say(f"  canary  {canary}   {_percent(found.get('share'))} of the callers")
            say(f"  stable  {stable}   the rest")
        case "promoted":
            say(f"{name}   {paint('promoted', 'good')}")
            say(f"  serves  {canary}")
            say(f"  before  {stable}")
        case _:
            say(f"{name}   {paint('aborted', 'bad')}")
            say(f"  serves  {stable}")
            say(f"  tried   {canary}")


def print_status(found: RolloutJson) -> None:
    """How both variants do, side by side."""
    steps, at = len(found.get("steps", ())), found.get("step", 1)
    where = f"at {_percent(found.get('share'))}   step {at} of {steps}" if found.get("status") == "running" else ""
    state = where or paint(found.get("status", ""), "good" if found.get("status") == "promoted" else "bad")
    variants = found.get("variants")
    asked = sum(each.get("requests", 0) for each in variants.values()) if variants else None
    pieces = [state, _age(found), "" if asked is None else counted(asked, "request")]
    say(f"canary  {short(found.get('canary', {}).get('release'))} {'   '.join(each for each in pieces if each)}")
    say(f"stable  {short(found.get('stable', {}).get('release'))}")
    if found.get("why"):
        say(f"because {clean(found.get('why', ''))}")
    say()
    if not variants:
        say(clean(found.get("note") or ""))
        return
    for line in _table(variants.get("canary", {}), variants.get("stable", {}), found.get("differences", {})):
        say(line)
    if found.get("status") == "running":
        say()
        say(f"{'Next':<10}tidemill rollout promote endpoint/{found.get('endpoint')}, or abort")


def _table(canary: VariantJson, stable: VariantJson, differences: Mapping[str, DifferenceJson]) -> list[str]:
    rows: list[list[Cell | str]] = [
        ["requests", count(canary.get("requests", 0)), count(stable.get("requests", 0)), ""],
        ["users", count(canary.get("users", 0)), count(stable.get("users", 0)), ""],
        [
            "errors",
            _share(canary.get("error_share")),
            _share(stable.get("error_share")),
            _differs(differences.get("error_share")),
        ],
    ]
    for name in ("p50", "p95"):
        pair = [(each.get("latency_ms") or {}).get(name) for each in (canary, stable)]
        rows.append([f"latency {name}", *(_measured(each, duration) for each in pair), ""])
    said = [each.get("feedback", {}) for each in (canary, stable)]
    thumbs = [each.get("thumbs_up") for each in said]
    if any(thumbs):
        rows.append(["thumbs", *(count(each.get("n", 0)) if each else NOTHING for each in thumbs), ""])
        rows.append(["thumbs up", *(_share(each) for each in thumbs), _differs(differences.get("thumbs_up"))])
    for name in sorted({*said[0].get("scores", {}), *said[1].get("scores", {})}):
        pair = [each.get("scores", {}).get(name) for each in said]
        rows.append([clean(name), *(_measured(each, _plain) for each in pair), ""])
    corrections = [each.get("corrections", 0) for each in said]
    if any(corrections):
        rows.append(["corrections", *(count(each) for each in corrections), ""])
    return table([Column(""), Column("canary"), Column("stable"), Column("difference, points")], rows)


def _measured(found: MeasuredJson | None, form: Callable[[float], str]) -> str:
    value = None if found is None else found.get("value")
    if found is None or value is None:
        return NOTHING
    interval = found.get("interval")
    bounds = f" [{', '.join(form(each) for each in interval)}]" if interval else ""
    return f"{form(value)}{bounds}"


def _share(found: MeasuredJson | None) -> str:
    if found is None or (value := found.get("value")) is None:
        return NOTHING
    bounds = ", ".join(f"{each * 100:.1f}" for each in found.get("interval") or ())
    return f"{value * 100:.1f} %" + (f" [{bounds}]" if bounds else "")


def _differs(found: DifferenceJson | None) -> Cell:
    if found is None:
        return Cell("")
    low, high = (f"{each * 100:+.1f}" for each in found.get("interval", (0.0, 0.0)))
    text = f"{found.get('difference', 0.0) * 100:+.1f} [{low}, {high}]"
    match found.get("verdict"):
        case "better":
            return Cell(f"{text}  better", "good")
        case "worse":
            return Cell(f"{text}  worse", "bad")
        case _:
            return Cell(f"{text}  not shown", "quiet")


def _plain(value: float) -> str:
    return f"{value:.3f}"


def _percent(share: object) -> str:
    return f"{share:g} %" if isinstance(share, int | float) else NOTHING


def _age(found: RolloutJson) -> str:
    try:
        started = dt.datetime.fromisoformat(found.get("started", ""))
        ended = dt.datetime.fromisoformat(found.get("ended") or "") if found.get("ended") else dt.datetime.now(dt.UTC)
    except ValueError:
        return ""
    return duration((ended - started).total_seconds() * 1000)


COMMANDS = {"start": start, "status": status, "promote": promote, "abort": abort, "list": list_rollouts}
