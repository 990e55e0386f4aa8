"""`tidemill access`: who may do what in a project, and why."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from tidemill.cli.figures import moment
from tidemill.cli.keys import split
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import Tone, clean, one_line, paint, say, say_json
from tidemill.cli.table import Cell, Column, table

_ROLES = frozenset({"viewer", "annotator", "developer", "reviewer", "operator", "admin"})
Everywhere = Annotated[bool, Parameter(name="--every-project")]


async def list_access(*, person: str | None = None, every_project: Everywhere = False, options: Options = DEFAULTS) -> None:
    """List who is granted and denied what, in this project and in all.

    :param person: Only of this one, as in ana.
    :param every_project: Only what counts in every project.
    """
    async with open_client(options) as client:
        found = await client.access(person=person, every_project=every_project)
    if options.json:
        say_json({"items": found})
        return
    rows = [
        [
            each.get("id", ""),
            each.get("person", ""),
            _effect(each.get("effect", "allow")),
            each.get("role") or ", ".join(each.get("may", ())),
            "everything" if each.get("on") == "*" else each.get("on", ""),
            "every project" if each.get("project") == "*" else each.get("project", ""),
            each.get("created_by", ""),
        ]
        for each in found
    ]
    titles = ("rule", "person", "effect", "what", "on", "in", "by")
    none = "no grant yet: tidemill people add NAME, tidemill access grant NAME ROLE"
    for line in table([Column(each) for each in titles], rows) if rows else [none]:
        say(line)


async def grant_access(
    person: str, what: str, /, *, on: str = "*", every_project: Everywhere = False, options: Options = DEFAULTS
) -> None:
    """Grant a role, or some verbs, to a person or service account.

    The verbs are read, ingest, annotate, attest, develop, deploy, approve and administer.

    :param person: As in ana.
    :param what: A role, as in developer, or verbs, as in deploy,approve.
    :param on: Only on what this matches, as in 'endpoint/prod-*'; it narrows develop, deploy and approve.
    :param every_project: In every project, those too that are made later.
    """
    async with open_client(options) as client:
        role = what if what in _ROLES else None
        may = () if role else split(what)
        made = await client.grant(person, role=role, may=may, on=on, every_project=every_project)
    if options.json:
        say_json(made)
        return
    say(f"granted {clean(made.get('text', ''))} to {person}")
    say(f"Undo      tidemill access revoke {made.get('id')}{' --every-project' if every_project else ''}")


async def deny_access(
    person: str,
    what: str = "",
    /,
    *,
    on: str = "*",
    every_project: Everywhere = False,
    options: Options = DEFAULTS,
) -> None:
    """Deny verbs to somebody. A denial wins over every grant.

    :param person: As in ana.
    :param what: Verbs, as in deploy,approve. Default: everything.
    :param on: Only on what this matches, as in 'endpoint/prod-*'.
    :param every_project: In every project, those too that are made later.
    """
    async with open_client(options) as client:
        made = await client.deny(person, may=split(what), on=on, every_project=every_project)
    if options.json:
        say_json(made)
        return
    say(f"denied {clean(made.get('text', ''))} to {person}")
    say(f"Undo      tidemill access revoke {made.get('id')}{' --every-project' if every_project else ''}")


async def revoke_access(rule: str, /, *, every_project: Everywhere = False, options: Options = DEFAULTS) -> None:
    """Take a grant or a denial back.

    :param rule: Its id, as tidemill access list shows it.
    :param every_project: It is one for every project.
    """
    async with open_client(options) as client:
        found = await client.revoke_access(rule, every_project=every_project)
    if options.json:
        say_json(found)
    else:
        word = "lifted the denial" if found.get("effect") == "deny" else "revoked the grant"
        say(f"{word} {clean(found.get('text', ''))} of {found.get('person')}")


async def check_access(person: str, verb: str, on: str = "", /, *, options: Options = DEFAULTS) -> int:
    """Say whether somebody may do something, and which rule says so. Exit 1 when they may not.

    :param person: As in ana, or key/ID.
    :param verb: read, ingest, annotate, attest, develop, deploy, approve or administer.
    :param on: On what, as in endpoint/prod. Default: the whole project.
    """
    async with open_client(options) as client:
        found = await client.check_access(person, verb, on=on)
    if options.json:
        say_json(found)
    else:
        allowed = found.get("allowed", False)
        word = paint("may", "good") if allowed else paint("may not", "bad")
        say(f"{person} {word} {verb}{f' {on}' if on else ''}: {clean(found.get('why', ''))}")
    return 0 if found.get("allowed") else 1


async def list_sessions(*, options: Options = DEFAULTS) -> None:
    """List the browsers that are logged in: yours, or with the admin token everybody's."""
    async with open_client(options) as client:
        found = await client.sessions()
    if options.json:
        say_json({"items": found})
        return
    rows = [
        [
            each.get("id", ""),
            each.get("who", ""),
            moment(each, "created"),
            moment(each, "seen"),
            moment(each, "ends"),
            one_line(clean(each.get("agent", "")), longest=60) or "-",
        ]
        for each in found
    ]
    titles = ("session", "who", "since", "last seen", "ends", "browser")
    for line in table([Column(each) for each in titles], rows) if rows else ["nobody is logged in: tidemill login"]:
        say(line)


async def end_session(session: str, /, *, options: Options = DEFAULTS) -> None:
    """Log a browser out.

    :param session: Its id, as tidemill access sessions shows it.
    """
    async with open_client(options) as client:
        await client.end_session(session)
    if options.json:
        say_json({"id": session, "ended": True})
    else:
        say(f"ended {session}")


async def who_am_i(*, options: Options = DEFAULTS) -> None:
    """Say who you are to the server, and what you may in which project."""
    async with open_client(options) as client:
        found = await client.who()
    if options.json:
        say_json(found)
        return
    say(f"{found.get('who')}, by a {found.get('by')}")
    rows = [[each["name"], each["role"], ", ".join(each["rights"])] for each in found.get("projects", ())]
    for line in table([Column("project"), Column("role"), Column("may")], rows) if rows else []:
        say(line)


def _effect(effect: str) -> Cell:
    tone: Tone = "bad" if effect == "deny" else "good"
    return Cell("denied" if effect == "deny" else "granted", tone)


COMMANDS = {
    "list": list_access,
    "grant": grant_access,
    "deny": deny_access,
    "revoke": revoke_access,
    "check": check_access,
    "me": who_am_i,
    "sessions": list_sessions,
    "end": end_session,
}
