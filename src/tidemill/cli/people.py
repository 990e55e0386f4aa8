"""`tidemill people`: who is known, persons and service accounts."""

from __future__ import annotations

from tidemill.cli.figures import moment
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import Tone, clean, say, say_json
from tidemill.cli.table import Cell, Column, table


async def list_people(*, options: Options = DEFAULTS) -> None:
    """List people and service accounts."""
    async with open_client(options) as client:
        found = await client.people()
    if options.json:
        say_json({"items": found})
        return
    rows = [
        [
            each.get("name", ""),
            "service" if each.get("service") else "person",
            _state(disabled=each.get("disabled", False)),
            moment(each, "created"),
            clean(each.get("email", "")) or "-",
        ]
        for each in found
    ]
    titles = ("name", "kind", "state", "added", "e-mail")
    for line in table([Column(each) for each in titles], rows) if rows else ["nobody yet: tidemill people add NAME"]:
        say(line)


async def add_person(name: str, /, *, email: str = "", service: bool = False, options: Options = DEFAULTS) -> None:
    """Add somebody, who may do nothing until something is granted.

    Keys that bear the name already keep their roles, as grants.

    :param name: As in ana: small letters, digits, `.`, `_` and `-`.
    :param email: An address, kept and shown; nothing is sent.
    :param service: An account for a program: it has keys, does not log in, and cannot approve.
    """
    async with open_client(options) as client:
        made = await client.add_person(name, email=email, service=service)
    if options.json:
        say_json(made)
        return
    say(f"added {made.get('who')}")
    for each in made.get("grants", ()):
        say(f"  granted {clean(each.get('text', ''))}, as by a key")
    say(f"Next      tidemill access grant {name} developer")


async def show_person(name: str, /, *, options: Options = DEFAULTS) -> None:
    """Show somebody, and what is granted and denied to them.

    :param name: As in ana.
    """
    async with open_client(options) as client:
        found = await client.person(name)
    if options.json:
        say_json(found)
        return
    state = "disabled" if found.get("disabled") else "active"
    say(f"{found.get('who')}  {state}  added {moment(found, 'created')}  {clean(found.get('email', ''))}".rstrip())
    for each in found.get("grants", ()):
        say(f"  {'denied ' if each.get('effect') == 'deny' else 'granted'}  {clean(each.get('text', ''))}")


async def disable_person(name: str, /, *, options: Options = DEFAULTS) -> None:
    """Let somebody in no more: their keys and sessions stop at once.

    :param name: As in ana.
    """
    async with open_client(options) as client:
        found = await client.change_person(name, disabled=True)
    if options.json:
        say_json(found)
        return
    say(f"disabled {name}: their keys and sessions work no more")
    say(f"Back      tidemill people enable {name}")


async def enable_person(name: str, /, *, options: Options = DEFAULTS) -> None:
    """Let somebody in again, with the keys and grants that they had.

    :param name: As in ana.
    """
    async with open_client(options) as client:
        found = await client.change_person(name, disabled=False)
    if options.json:
        say_json(found)
    else:
        say(f"enabled {name}")


async def link_person(name: str, /, *, options: Options = DEFAULTS) -> None:
    """Make a link by which somebody logs in, once, within 15 minutes.

    Whoever has it is them: send it safely.

    :param name: As in ana.
    """
    from tidemill.cli.login import make_link

    await make_link(name, options)


def _state(*, disabled: bool) -> Cell:
    tone: Tone = "bad" if disabled else "plain"
    return Cell("disabled" if disabled else "active", tone)


COMMANDS = {
    "list": list_people,
    "add": add_person,
    "show": show_person,
    "disable": disable_person,
    "enable": enable_person,
    "link": link_person,
}
