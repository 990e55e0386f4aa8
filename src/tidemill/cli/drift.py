"""Where files and registry went apart, as a plan shows it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from tidemill.cli.screen import Tone, clean, note, paint, say, wrapped
from tidemill.client.shapes import DriftJson

UNDONE = frozenset({"registry", "both"})
_TONES: Mapping[str, Tone] = {"registry": "unsure", "both": "bad", "behind": "unsure", "gone": "quiet"}
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def print_drift(drift: Sequence[DriftJson]) -> None:
    """What the registry has that the files do not say, who put it there, and what to type."""
    gone = [each for each in drift if each.get("case") == "gone"]
    moved = [each for each in drift if each.get("case") != "gone"]
    for each in moved:
        tone = _TONES.get(str(each.get("case")), "unsure")
        lines = wrapped(clean(_told(each)), indent="    ")
        say(f"  {paint('!', tone)} {each.get('ref')}")
        for line in lines:
            say(line)
    if any(each.get("case") in UNDONE for each in moved):
        say(paint("    take it into the files: tidemill pull    go back to them: tidemill apply", "quiet"))
    for each in gone:
        place = "" if each.get("environment") is None else f" for environment {each.get('environment')}"
        say(f"  {paint('!', 'quiet')} {each.get('ref')}{place}  no longer in the files; it stays. To delete it: "
            f"tidemill delete {each.get('ref')}")  # fmt: skip
    if drift:
        say()


def print_undone(drift: Sequence[DriftJson]) -> None:
    """What an apply went back from, which is kept; on standard error."""
    for each in undone(drift):
        ref, had = str(each.get("ref")), each.get("registry")
        by = f" by {each.get('by')}" if each.get("by") else ""
        to_see = f"; it is kept: tidemill diff {ref}@{had} {ref}" if had else ""
        note(paint("note:", "unsure") + " " + clean(f"{ref} had {had or 'other content'}{by}{ago(each.get('when'))}{to_see}"))


def undone(drift: Sequence[DriftJson]) -> list[DriftJson]:
    """What an apply would undo of what was done to the registry by another door."""
    return [each for each in drift if each.get("case") in UNDONE]


def ago(when: str | None) -> str:
    """`2 h ago`; nothing for a time that is not known."""
    if when is None:
        return ""
    seconds = (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(when)).total_seconds()
    found = next((f"{seconds // size:.0f} {unit} ago" for size, unit in _UNITS if seconds >= size), "just now")
    return f" ({found})"


def _told(drift: DriftJson) -> str:
    has = drift.get("registry") or "other content"
    by = f" by {drift.get('by')}" if drift.get("by") else ""
    files = drift.get("files")
    match drift.get("case"):
        case "behind":
            return (
                f"the registry has {has}, applied{by}{ago(drift.get('when'))}; these files say {files}, which is older:"
                f" apply goes back to {files}"
            )
        case "both":
            return (
                f"the registry has {has}{by}{ago(drift.get('when'))}, and these files were changed too: apply would lose {has}"
            )
        case _:
            back = f"these files say {files} -> apply goes back to {files}" if files and files != has else (
                "these files say something else -> apply goes back to it"
            )  # fmt: skip
            return f"the registry has {has}{by}{ago(drift.get('when'))}; {back}"
