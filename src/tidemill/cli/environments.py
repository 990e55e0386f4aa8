"""`tidemill environments`: where applications run, how they are reached there, and what is promoted."""

from __future__ import annotations

from tidemill.cli.figures import moment, short
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, paint, say, say_json
from tidemill.cli.table import Cell, Column, table
from tidemill.client.environments import ConnectionJson, EnvironmentJson, origin_of


async def environments(name: str | None = None, /, *, options: Options = DEFAULTS) -> None:
    """List environments, each with its connections and what is promoted there.

    :param name: Only this one.
    """
    async with open_client(options) as client:
        found = await client.environments() if name is None else [await client.environment(name)]
    if options.json:
        say_json(found[0] if name is not None else {"items": found})
        return
    for each in found:
        print_environment(each)


def print_environment(environment: EnvironmentJson) -> None:
    """An environment: rules, connections with their secrets, and what is promoted there."""
    origin = origin_of(environment)
    rules = [f"from {origin}"] if origin else []
    rules += ["protected"] if environment.get("protected") else []
    rules += ["this server's"] if environment.get("current") else []
    say(f"{environment.get('name')}" + (f"   {', '.join(rules)}" if rules else ""))
    rows = [_row(each) for each in environment.get("connections", ())]
    columns = [Column("connection"), Column("provider"), Column("reached at"), Column("secrets")]
    for line in table(columns, rows, indent="  ") if rows else []:
        say(line)
    promoted = [
        [
            f"{each.get('app')}@{each.get('version')}",
            short(each.get("release")),
            each.get("by", ""),
            moment({"at": each.get("at")}, "at"),
        ]
        for each in environment.get("promoted", ())
    ]
    for line in (
        table([Column("promoted"), Column("release"), Column("by"), Column("at")], promoted, indent="  ") if promoted else []
    ):
        say(line)
    if environment.get("endpoints"):
        say(f"  endpoints  {', '.join(f'endpoint/{each}' for each in environment.get('endpoints', ()))}")
    if not rows and not promoted:
        say(paint("  no connection of its own, nothing promoted", "quiet"))


def _row(connection: ConnectionJson) -> list[Cell | str]:
    secrets = connection.get("secrets", ())
    said = ", ".join(f"{each.get('reference')}{'' if each.get('found') else ' missing'}" for each in secrets)
    whole = all(each.get("found") for each in secrets)
    return [
        f"connection/{connection.get('name')}",
        connection.get("provider", ""),
        clean(connection.get("base_url") or "its usual address"),
        Cell(clean(said) or "none", "plain" if whole else "bad"),
    ]


COMMAND = environments
