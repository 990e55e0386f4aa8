"""`tidemill plan`: what an apply would change."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import cast

from tidemill.cli.drift import print_drift
from tidemill.cli.figures import about, counted, money
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import Tone, cells, clean, note, paint, paint_words, say, say_json, width, wrapped
from tidemill.client.shapes import Action, Change, DownstreamJson, Plan, ProblemJson, RerunJson

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
        note(f"{paint('note:', 'unsure', stream=sys.stderr)} {clean(each.get('message', ''))}")
        for more in filter(None, (each.get("where"), each.get("hint"))):
            note(f"  {clean(more)}")


def print_consequences(made: Plan) -> None:
    """What a change touches, and what it makes run again, where the server says so."""
    affects = [*made.get("affects", ()), *left_behind(made.get("downstream", {}))]
    for place, each in enumerate(affects):
        for number, line in enumerate(wrapped(clean(each), longest=width() - 10)):
            say(f"{'Affects' if place == number == 0 else '':<10}{line}")
    rerun = made.get("rerun")
    if rerun:
        for number, line in enumerate(wrapped(rerun_words(rerun), longest=width() - 10)):
            say(f"{'To re-run' if number == 0 else '':<10}{line}")


def left_behind(downstream: DownstreamJson) -> list[str]:
    """A line for the aliases, and one each for the releases and evaluations, that stay on what is replaced."""
    lines: list[str] = []
    aliases = [f"{each['ref']} ({each['version']})" for each in downstream.get("aliases", ()) if _is_named(str(each["ref"]))]
    if aliases:
        lines.append(f"{_listed(aliases)} {'stays' if len(aliases) == 1 else 'stay'} on what is replaced")
    releases, evaluations = downstream.get("releases", ()), downstream.get("evaluations", ())
    if releases or evaluations:
        both = {"release": len(releases), "evaluation": len(evaluations)}
        told = " and ".join(counted(number, unit) for unit, number in both.items() if number)
        alone = sum(both.values()) == 1
        lines.append(f"{told} {'has' if alone else 'have'} what is replaced, and {'keeps' if alone else 'keep'} it")
    return lines


def rerun_words(rerun: RerunJson) -> str:
    """`62 generations, 0 searches, 0 embeddings     about 3 min, $0.00 on model/local`."""
    names = (("generations", "generation"), ("searches", "search"), ("embeddings", "embedding"))
    numbers = cast("Mapping[str, int]", rerun)
    counts = [counted(numbers.get(name, 0), unit) for name, unit in names]
    counts += [counted(rerun.get("tools", 0), "tool call")] if rerun.get("tools") else []
    said = {"at_most": "at most ", "about": "about "}.get(str(rerun.get("bound")), "") + ", ".join(counts)
    if not any(numbers.get(name) for name in ("generations", "searches", "embeddings", "tools")):
        return said
    time_ms, cost = rerun.get("time_ms"), rerun.get("cost")
    beside = ["time not known yet" if time_ms is None else about(time_ms / 1000)]
    models = rerun.get("models", ())
    if models:
        price = "no price known" if cost is None else f"${cost:,.2f}" if cost == 0 or cost >= 0.01 else money(cost)
        beside.append(f"{price} on {_listed(models)}")
    return f"{said}     {', '.join(beside)}"


def _is_named(ref: str) -> bool:
    """Whether somebody gave this name; `latest` of a release is nobody's."""
    return not ref.endswith("@latest")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


COMMAND = plan
