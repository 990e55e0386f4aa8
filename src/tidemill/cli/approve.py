"""`tidemill approve`: a person's word that a release may go somewhere."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import say, say_json

Role = Literal["viewer", "annotator", "developer", "reviewer", "operator", "admin"]


async def approve(
    release: str,
    /,
    *,
    reason: str,
    role: Role = "reviewer",
    target: Annotated[str | None, Parameter(name="--for")] = None,
    expires: str | None = None,
    options: Options = DEFAULTS,
) -> None:
    """Approve a release. Whoever wrote any part of it cannot, nor a key that names no person.

    :param release: The release's digest, or an app, as in chain/handbook; endpoint/x for what is tried or served there.
    :param reason: What was looked at, kept with the approval.
    :param role: The role that you approve in; your key must have it.
    :param target: Only for this place, as in endpoint/handbook or chain/handbook@production. Default: anywhere.
    :param expires: How long it holds, as in 30d. Default: until it is revoked.
    """
    async with open_client(options) as client:
        given = await client.approve(release, reason=reason, role=role, target=target, expires=expires)
    if options.json:
        say_json(given)
        return
    from tidemill.client.govern import approved_for

    say(f"approved  {given.get('release')}")
    until = given.get("expires") or "it is revoked"
    say(f"  by      {given.get('who')} as {given.get('role')}, for {approved_for(given)}, until {until}")
    say(f"Back      tidemill approvals revoke {given.get('id')}")


COMMAND = approve
