"""`tidemill policies`: what is protected, and whether a release would go through."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, paint, say, say_json

Door = Literal["deploy", "rollback", "rollout", "promote", "alias"]


async def list_policies(*, options: Options = DEFAULTS) -> None:
    """List policies: what each protects and requires."""
    async with open_client(options) as client:
        found = await client.policies()
    if options.json:
        say_json({"items": found})
        return
    for each in found:
        say(f"{each.get('ref')}" + ("" if each.get("enabled") else "  turned off"))
        say(f"  protects  {', '.join(each.get('protects', ()))}")
        say(f"  at        {', '.join(each.get('doors', ()))}")
        for rule in each.get("require", ()):
            say(f"  requires  {clean(rule)}")
    if not found:
        say("no policy yet: write one of kind policy, then tidemill apply")


async def check_policies(
    app: str,
    /,
    *,
    target: Annotated[str, Parameter(name="--to")],
    door: Door | None = None,
    options: Options = DEFAULTS,
) -> int:
    """Say whether an app may go somewhere, and what is missing.

    Nothing is changed, and nothing noted. Exit 1 when it may not.

    :param app: The app, as in chain/handbook, a release's digest, or endpoint/x for what is served there.
    :param target: Where to, as in endpoint/handbook or chain/handbook@production.
    :param door: By which door. Default: deploy, or alias.
    """
    async with open_client(options) as client:
        decision = await client.check_policies(app, target=target, door=door)
    if options.json:
        say_json(decision)
        return 0 if decision.get("allowed") else 1
    say(f"{decision.get('release')} to {decision.get('target')}")
    if decision.get("role"):
        say(f"  {paint('denied', 'bad')}   {decision.get('role')}")
    for each in decision.get("missing", ()):
        say(f"  {paint('missing', 'bad')}  {each.get('policy')} requires {clean(each.get('rule', ''))}")
        for line in (*each.get("found", ()), *each.get("commands", ())):
            say(f"           {clean(line)}")
    if decision.get("allowed"):
        say(f"  {paint('allowed', 'good')}" if decision.get("policies") else "  nothing protects it")
    return 0 if decision.get("allowed") else 1


COMMANDS = {"list": list_policies, "check": check_policies}
