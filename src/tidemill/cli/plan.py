"""`tidemill plan`: what an apply would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.cli.drift import print_drift
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import Tone, cells, clean, note, paint, paint_words, say, say_json, width, wrapped
from tidemill.client.shapes import Action, Change, Plan, ProblemJson

_SIGNS: Mapping[Action, tuple[str, Tone]] = {"create": ("+", "good"), "update": ("~", "unsure"), "delete": ("-", "bad")}
_REF_WIDTH = 34


async def plan(*, options: Options = DEFAULTS) -> None:
    """Show what `tidemill apply` would change. Nothing is changed."""
    async with open_client(options) as client:
        made = await client.plan()
    changes = changed(made)
    if options.json:
        say_json({**made, "changes": changes})
        return
    print_changes(changes, made.get("changes", ()))
    print_drift(made.get("drift", ()))
    print_notes(made.get("notes", ()))
    print_consequences(made)
    if changes:
        say("Next      tidemill apply")


def changed(made: Plan) -> list[Change]:
    """The changes that are one."""
    return [each for each in made.get("changes", ()) if each.get("action") != "unchanged"]


def print_changes(changes: Sequence[Change], everything: Sequence[Change]) -> None:
    """The changes by file, the words that changed marked."""
    if not changes:
        say("nothing to change")
        return
    indent = ""
    for path in dict.fromkeys(each.get("path", "") for each in changes):
        if path:
            say(path)
            indent = "  "
        for change in changes:
            if change.get("path", "") == path:
                _print_change(change, indent)
    same = len(everything) - len(changes)
    if same > 0:
        say(paint(f"{indent}  {same} unchanged", "quiet"))
    say()


def _print_change(change: Change, indent: str) -> None:
    sign, tone = _SIGNS.get(change.get("action", "update"), ("~", "unsure"))
    before, after = change.get("before"), change.get("after")
    details = [clean(each) for each in change.get("details", ())]
    start = f"{change.get('ref', ''):<{_REF_WIDTH}} "
    if change.get("action") == "update" and before and after and before != after:
        beside = f"{before} -> {after}"
    elif details and cells(details[0]) <= width() - _REF_WIDTH - 6 and "\n" not in details[0]:
        beside = details.pop(0)
    else:
        beside = after or ""
    say(f"{indent}{paint(sign, tone)} {start}{paint_words(beside)}".rstrip())
    for detail in details:
        for line in wrapped(detail, indent=f"{indent}    "):
            say(paint_words(line))


def print_notes(notes: Sequence[ProblemJson]) -> None:
    """Problems that do not stop it, on standard error."""
    for each in notes:
        place = f"{each.get('where')}: " if each.get("where") else ""
        hint = f"  {each.get('hint')}" if each.get("hint") else ""
        note(paint("note:", "unsure") + " " + clean(f"{place}{each.get('message', '')}{hint}"))


def print_consequences(made: Plan) -> None:
    """What a change touches, and what it makes run again, where the server says so."""
    affects = made.get("affects", ())
    for place, each in enumerate(affects):
        say(f"{'Affects' if place == 0 else '':<10}{each}")
    if made.get("rerun"):
        say(f"{'To re-run':<10}{made.get('rerun')}")


COMMAND = plan
