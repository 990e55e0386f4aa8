"""The table of dialects in docs/reference/dialects.md: where the traces of each came from, and how much of them is understood.

    python scripts/dialect_table.py

`generated` is measured over tests/telemetry/dialects/recorded; `recorded` needs the folder of traces that were recorded
elsewhere (`TIDEMILL_SHARED_DATA`), and leaves its part of the page as it is without.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tidemill.telemetry.dialects import dialects, read_span
from tidemill.telemetry.dialects.coverage import Coverage, coverage
from tidemill.telemetry.otlp.parse import parse_traces
from tidemill.telemetry.otlp.raw import RawSpan
from tidemill.telemetry.otlp.tally import Tally
from tidemill.telemetry.otlp.traces import read_spans

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "dialects.md"
RECORDED = ROOT / "tests" / "telemetry" / "dialects" / "recorded"
VERSIONS = ROOT / "scripts" / "recorded" / "versions.json"
_HEAD = "| trace | dialects | spans | fields filled | attributes read |\n|---|---|---|---|---|\n"
_NOW_NS = 1_790_000_000_000_000_000


def shared() -> Path:
    """The folder of the traces that were recorded elsewhere, which may be missing."""
    named = os.environ.get("TIDEMILL_SHARED_DATA")
    return (Path(named) if named else ROOT.parent / "shared" / "data") / "framework_traces" / "otlp"


def spans_of(file: Path) -> list[RawSpan]:
    """The spans of a file of OTLP in JSON."""
    tally = Tally()
    request = parse_traces(file.read_bytes(), form="json", tally=tally)
    return [each for each in read_spans(request, tally, now_ns=_NOW_NS) if each is not None]


def files(folder: Path) -> dict[str, list[RawSpan]]:
    """The traces of a folder by name, without files that are not OTLP."""
    return {each.stem: spans_of(each) for each in sorted(folder.glob("*.json")) if "export" not in each.name}


def spoken(spans: Iterable[RawSpan]) -> list[str]:
    """The dialects that name the records, sorted."""
    return sorted({read_span(each, project="").dialect for each in spans} - {""})


def library(name: str, spans: Iterable[RawSpan]) -> str:
    """What sent a trace, and its version."""
    scopes = sorted({f"{each.scope} {each.scope_version}".strip() for each in spans if each.scope})
    return json.loads(VERSIONS.read_text("utf-8")).get(name) or ", ".join(scopes)


def row(name: str, spans: list[RawSpan]) -> str:
    """A line of the tables of traces."""
    made = coverage(spans)
    return f"| {name} | {', '.join(spoken(spans))} | {made.spans} | {_share(made)} |\n"


def _share(made: Coverage) -> str:
    fields = f"{made.filled / made.fields:.0%}" if made.fields else "–"
    return f"{fields} | {made.read / made.attributes:.0%}" if made.attributes else f"{fields} | –"


def generated() -> str:
    """What real libraries sent here."""
    return _HEAD + "".join(row(f"{library(name, spans)} (`{name}`)", spans) for name, spans in files(RECORDED).items())


def recorded(folder: Path) -> str:
    """What frameworks sent elsewhere."""
    return _HEAD + "".join(row(name, spans) for name, spans in files(folder).items())


def evidence() -> str:
    """A line a dialect: what its reading was tried on."""
    here, elsewhere = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for names, folder in ((here, RECORDED), (elsewhere, shared())):
        for name, spans in files(folder).items():
            for dialect in spoken(spans):
                names[dialect].append(f"`{name}`")
    lines = ["| dialect | generated here by the real library | recorded elsewhere |\n|---|---|---|\n"]
    for each in sorted(dialects(), key=lambda each: each.name):
        made, found = ", ".join(here[each.name]), ", ".join(elsewhere[each.name])
        lines.append(f"| `{each.name}` | {made or ('–' if found else 'unproven')} | {found or '–'} |\n")
    return "".join(lines)


def with_part(page: str, name: str, table: str) -> str:
    """The page with a table in its place, between two comments."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}{table}{match[2]}", page)


def page() -> str:
    """The page as it should be; without the traces that were recorded elsewhere, the parts that need them as they are."""
    text = with_part(PAGE.read_text("utf-8"), "generated", generated())
    folder = shared()
    if not folder.is_dir():
        return text
    return with_part(with_part(text, "recorded", recorded(folder)), "evidence", evidence())


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is current\n")
