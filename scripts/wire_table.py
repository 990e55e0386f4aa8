"""The tables of docs/reference/wire.md: which doors there are, and what is lost between dialects.

python scripts/wire_table.py
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tidemill.models.losses import LOSSES
from tidemill.serve.dialects.doors import CHAT_DIALECTS, TASKS
from tidemill.serve.dialects.places import NO_PLACE

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "wire.md"


def doors() -> str:
    """A line a path."""
    lines = ["| `POST` | dialect | what may be named | without a provider of the dialect |\n|---|---|---|---|\n"]
    for path, dialect in CHAT_DIALECTS.items():
        named = "an endpoint, model, route, chain, prompt or agent"
        lines.append(f"| `{path}` | `{dialect.name}` | {named} | said in the provider's own dialect |\n")
    for path, task in TASKS.items():
        named = " or ".join(f"`{kind}/NAME`" for kind in sorted(task.kinds)) + ", or an endpoint of one"
        here = ", ".join(f"by the {kind}" for kind in task.here)
        lines.append(f"| `{path}` | `{task.dialect}` | {named} | {'estimated' if task.otherwise else here or 'refused'} |\n")
    return "".join(lines)


def requests() -> str:
    """A line a field that only one dialect has."""
    lines = ["| dialect | field | what it says | to a provider of another dialect |\n|---|---|---|---|\n"]
    for dialect, losses in LOSSES.items():
        for loss in sorted(losses, key=lambda each: not each.changes):
            becomes = "refused; left out with `unsupported: drop`" if loss.changes else "left out"
            lines.append(f"| `{dialect}` | `{loss.field}` | {loss.what} | {becomes} |\n")
    return "".join(lines)


def answers() -> str:
    """A line a dialect in which an answer cannot say all."""
    lines = ["| dialect | has no place for |\n|---|---|\n"]
    return "".join([*lines, *(f"| `{dialect}` | {', '.join(what)} |\n" for dialect, what in NO_PLACE.items())])


def page() -> str:
    """The page as it should be."""
    text = PAGE.read_text("utf-8")
    for name, table in (("doors", doors()), ("requests", requests()), ("answers", answers())):
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text = pattern.sub(lambda match, table=table: f"{match[1]}{table}{match[2]}", text)
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is current\n")
