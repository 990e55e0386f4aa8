"""`tidemill audit`: what happened, whether the record of it holds, and an export that is checked elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tidemill.cli.figures import counted
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, note, one_line, paint, say, say_json
from tidemill.cli.table import Column, table
from tidemill.core.json import JsonObject

_TOLD: Mapping[str, Sequence[str]] = {
    "key": ("role", "person"),
    "access": ("why", "rule", "role", "on", "count"),
    "login": ("session",),
    "policy": ("door", "release", "after"),
    "approval": ("role", "reason", "why"),
    "rollout": ("share", "release", "why"),
    "alias": ("release", "why"),
}


async def list_audit(
    *,
    action: str | None = None,
    target: str | None = None,
    who: str | None = None,
    since: str | None = None,
    limit: int = 50,
    server: bool = False,
    options: Options = DEFAULTS,
) -> None:
    """List what happened, the newest first.

    :param action: Only this, as in deploy or policy.denied, or a group, as in policy.
    :param target: Only to this, as in endpoint/handbook.
    :param who: Only by this one, as in person/ana.
    :param since: Only from this time on, as in 2026-01-31.
    :param limit: At most N.
    :param server: What belongs to no project: projects, people, logins, attempts by nobody known.
    """
    async with open_client(options) as client:
        ask = client.server_audit if server else client.audit
        found = await ask(action=action, target=target, who=who, since=since, limit=limit)
    if options.json:
        say_json({"items": found})
        return
    rows = [
        [
            str(each.get("number", "")),
            each.get("at", "")[:16].replace("T", " "),
            clean(each.get("who", "")),
            each.get("action", ""),
            _short(clean(each.get("target", ""))),
            one_line(clean(_said(each.get("action", ""), each.get("detail", {}))), longest=60),
        ]
        for each in found
    ]
    columns = [Column("line", "right"), *(Column(each) for each in ("at", "who", "action", "target", "more"))]
    for line in table(columns, rows) if rows else ["nothing happened yet"]:
        say(line)


async def verify_audit(*, anchor: str | None = None, server: bool = False, options: Options = DEFAULTS) -> int:
    """Recompute the chain, and name the first line that does not hold.

    Exit 1 when there is one.

    :param anchor: A line that was seen before, NUMBER:sha256:…; a chain cut off or written anew since then shows.
    :param server: The chain of what belongs to no project.
    """
    async with open_client(options) as client:
        report = await (client.verify_server_audit(anchor=anchor) if server else client.verify_audit(anchor=anchor))
    if options.json:
        say_json(report)
    elif report.get("ok"):
        say(f"{paint('holds', 'good')}  {report.get('lines', 0):,} lines")
        if report.get("head"):
            say(f"Keep      tidemill audit verify --anchor {report.get('head')}")
    else:
        say(f"{paint('broken', 'bad')}  {report.get('fault')}: {report.get('message')}")
    return 0 if report.get("ok") else 1


async def export_audit(*, to: Path | None = None, options: Options = DEFAULTS) -> None:
    """Write every line, the oldest first, as JSON lines that can be checked without Tidemill.

    :param to: The file; default: standard output.
    """
    import anyio

    count = 0
    async with open_client(options) as client:
        if to is None:
            async for line in client.export_audit():
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
            return
        part = to.with_name(f"{to.name}.part")
        async with await anyio.open_file(part, "wb") as file:
            async for line in client.export_audit():
                await file.write(line)
                count += 1
        await anyio.Path(part).replace(to)
    note(f"{count:,} lines in {to}")


def _said(action: str, detail: JsonObject) -> str:
    """What matters most of a line beyond who, what and where; `--json` has all of it."""
    changes = detail.get("changes")
    if isinstance(changes, Sequence):
        return counted(len(changes), "change")
    names = _TOLD.get(action.partition(".")[0], ("release", "why"))
    return " ".join(_short(str(detail[name])) for name in names if detail.get(name) not in (None, "", []))


def _short(text: str) -> str:
    return f"{text[:15]}…" if text.startswith("sha256:") else text


COMMANDS = {"list": list_audit, "verify": verify_audit, "export": export_audit}
