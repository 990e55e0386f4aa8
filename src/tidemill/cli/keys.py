"""`tidemill keys`: who may call what."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from tidemill.cli.figures import moment
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import note, say, say_json
from tidemill.cli.table import Column, table

Role = Literal["viewer", "annotator", "developer", "reviewer", "operator", "admin"]


async def list_keys(*, options: Options = DEFAULTS) -> None:
    """List API keys, without their secrets."""
    async with open_client(options) as client:
        keys = await client.keys()
    if options.json:
        say_json({"items": keys})
        return
    rows = [
        [
            each.get("id", ""),
            each.get("role", ""),
            each.get("person") or "-",
            moment(each, "created_ns", "created"),
            "revoked" if each.get("revoked_ns") or each.get("revoked") else "valid",
            " ".join(each.get("endpoints", ())) or "all",
        ]
        for each in keys
    ]
    columns = [Column("id"), Column("role"), Column("person"), Column("made"), Column("state"), Column("endpoints")]
    for line in table(columns, rows) if rows else ["no key yet: tidemill keys create"]:
        say(line)


async def create_key(
    *,
    endpoint: Annotated[tuple[str, ...], Parameter(name="--endpoint")] = (),
    role: Role = "developer",
    person: str | None = None,
    options: Options = DEFAULTS,
) -> None:
    """Make an API key. It is shown once: keep it now.

    :param endpoint: The key may call only this endpoint; give it again for more. Default: all.
    :param role: What the key may do.
    :param person: Whose key it is, as in ana. What they do stands under their name; only a person can approve.
    """
    async with open_client(options) as client:
        names = [each.removeprefix("endpoint/") for each in endpoint]
        made = await client.create_key(endpoints=names, role=role, person=person)
    if options.json:
        say_json(made)
        return
    say(made.get("key", ""))
    note(f"shown once; revoke it with: tidemill keys revoke {made.get('id')}")


async def revoke_key(key: str, /, *, options: Options = DEFAULTS) -> None:
    """Revoke an API key; it stops working at once.

    :param key: The key's id.
    """
    async with open_client(options) as client:
        await client.revoke_key(key)
    if options.json:
        say_json({"id": key, "revoked": True})
    else:
        say(f"revoked {key}")


COMMANDS = {"list": list_keys, "create": create_key, "revoke": revoke_key}
