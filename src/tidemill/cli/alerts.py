"""`tidemill alerts`: what rules raised, what that set off, and who has seen it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from tidemill.cli.figures import moment
from tidemill.cli.monitor_run import action_cell
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, paint, say, say_json, wrapped


async def list_alerts(
    *,
    monitor: str = "",
    status: Literal["open", "acknowledged", "all"] = "open",
    limit: int = 20,
    options: Options = DEFAULTS,
) -> None:
    """List alerts, the newest first.

    :param monitor: Only alerts of this monitor.
    :param status: Which ones.
    :param limit: At most N.
    """
    async with open_client(options) as client:
        found = await client.alerts(monitor=monitor or None, status=None if status == "all" else status, limit=limit)
    if options.json:
        say_json({"items": found})
        return
    for each in found:
        state = paint(str(each["status"]), "bad" if each["status"] == "open" else "quiet")
        done = ", ".join(action_cell(action).text for action in _actions(each))
        say(f"{each['id']}  {moment(each, 'created')}  {state}  {done}".rstrip())
        for line in wrapped(clean(str(each["message"])), indent="  "):
            say(line)
    if not found:
        say("no alert" if status == "all" else f"no {status} alert")


async def show(alert: str, /, *, options: Options = DEFAULTS) -> None:
    """Show one alert and what became of all it set off.

    :param alert: The alert's id or the beginning of it.
    """
    async with open_client(options) as client:
        found = await client.alert(alert)
    if options.json:
        say_json(found)
        return
    say(f"alert {found['id']}  {found['status']}")
    say(f"  {clean(str(found['message']))}")
    say(f"  when     {found['when']}")
    say(f"  release  {found['release'] or '-'}")
    say(f"  run      {found['run']}")
    for each in _actions(found):
        say(f"  {action_cell(each).text}, {each['attempts']} tried: {clean(str(each['detail']))}")


async def ack(alert: str, /, *, note: str = "", options: Options = DEFAULTS) -> None:
    """Note that somebody has seen an alert.

    :param alert: The alert's id or the beginning of it.
    :param note: What was made of it.
    """
    async with open_client(options) as client:
        found = await client.acknowledge_alert(alert, note=note)
    if options.json:
        say_json(found)
    else:
        say(f"alert {found['id']} was acknowledged by {found['acknowledged_by']}")


def _actions(alert: Mapping[str, object]) -> Sequence[Mapping[str, Any]]:
    return cast("Sequence[Mapping[str, Any]]", alert["actions"])


COMMANDS = {"list": list_alerts, "show": show, "ack": ack}
