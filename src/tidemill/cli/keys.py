"""`tidemill keys`: who may call what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from cyclopts import Parameter

from tidemill.cli.figures import moment
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import Tone, note, say, say_json
from tidemill.cli.table import Cell, Column, table

Role = Literal["viewer", "annotator", "developer", "reviewer", "operator", "admin"]
_TONES: Mapping[str, Tone] = {"valid": "good", "expired": "unsure", "revoked": "bad"}


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
            Cell(each.get("state", ""), _TONES.get(each.get("state", ""), "plain")),
            moment(each, "created"),
            moment(each, "expires") if each.get("expires") else "never",
            moment(each, "used") if each.get("used") else "never",
            ", ".join(each.get("may") or ()) or "all",
            " ".join(each.get("endpoints", ())) or "all",
        ]
        for each in keys
    ]
    titles = ("id", "role", "person", "state", "made", "expires", "used", "may", "endpoints")
    for line in table([Column(each) for each in titles], rows) if rows else ["no key yet: tidemill keys create"]:
        say(line)


async def create_key(
    *,
    endpoint: Annotated[tuple[str, ...], Parameter(name="--endpoint")] = (),
    role: Role = "developer",
    person: str | None = None,
    may: str | None = None,
    expires: str | None = None,
    options: Options = DEFAULTS,
) -> None:
    """Make an API key. It is shown once: keep it now.

    :param endpoint: The key may call only this endpoint; give it again for more. Default: all.
    :param role: What the key may do.
    :param person: Whose key it is, as in ana. What they do stands under their name; only a person can approve.
    :param may: Only these of what the role may do, as in read,annotate.
    :param expires: How long it works, as in 30d. Default: until it is revoked.
    """
    async with open_client(options) as client:
        names = [each.removeprefix("endpoint/") for each in endpoint]
        made = await client.create_key(
            endpoints=names, role=role, person=person, may=None if may is None else split(may), expires=expires
        )
    if options.json:
        say_json(made)
        return
    say(made.get("key", ""))
    until = f"works until {moment(made, 'expires')}; " if made.get("expires") else ""
    note(f"shown once; {until}revoke it with: tidemill keys revoke {made.get('id')}")


async def rotate_key(key: str, /, *, overlap: str = "0s", options: Options = DEFAULTS) -> None:
    """Make a key that may the same, and end this one. The new one is shown once: keep it now.

    :param key: The old key's id.
    :param overlap: How long the old key works beside the new one, as in 1h.
    """
    async with open_client(options) as client:
        made = await client.rotate_key(key, overlap=overlap)
    if options.json:
        say_json(made)
        return
    say(made.get("key", ""))
    note(f"shown once; key {key} works for {overlap} more")


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


def split(words: str) -> list[str]:
    """Words as they are typed, with commas in between."""
    return [each.strip() for each in words.split(",") if each.strip()]


COMMANDS = {"list": list_keys, "create": create_key, "rotate": rotate_key, "revoke": revoke_key}
