"""`tidemill approvals`: what was approved, and taking it back."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import Tone, clean, one_line, say, say_json
from tidemill.cli.table import Cell, Column, table

_TONES: Mapping[str, Tone] = {"valid": "good", "expired": "unsure", "revoked": "bad"}


async def list_approvals(
    *, release: str | None = None, who: str | None = None, limit: int = 50, options: Options = DEFAULTS
) -> None:
    """List approvals, the newest first.

    :param release: Of this release: a digest, an app, or endpoint/x.
    :param who: By this person, as in person/ana.
    :param limit: At most N.
    """
    async with open_client(options) as client:
        found = await client.approvals(release=release, who=who, limit=limit)
    if options.json:
        say_json({"items": found})
        return
    from tidemill.client.govern import approved_for

    rows = [
        [
            each.get("id", "")[:13],
            Cell(each.get("state", ""), _TONES.get(each.get("state", ""), "plain")),
            each.get("who", ""),
            each.get("role", ""),
            approved_for(each),
            f"{each.get('release', '')[:15]}…",
            one_line(clean(each.get("reason", "")), longest=60),
        ]
        for each in found
    ]
    titles = ("id", "state", "by", "as", "for", "release", "reason")
    for line in table([Column(each) for each in titles], rows) if rows else ["no approval yet: tidemill approve RELEASE"]:
        say(line)


async def revoke_approval(approval: str, /, *, why: str = "", options: Options = DEFAULTS) -> None:
    """Take an approval back. What it let through stays; it lets nothing more through.

    :param approval: The approval's id, or the beginning of it.
    :param why: The reason, kept in the audit.
    """
    async with open_client(options) as client:
        found = await client.revoke_approval(approval, why=why)
    if options.json:
        say_json(found)
    else:
        say(f"revoked {found.get('id')}")


COMMANDS = {"list": list_approvals, "revoke": revoke_approval}
