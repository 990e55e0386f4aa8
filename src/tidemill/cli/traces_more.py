"""`tidemill traces`: searched, by session and user, exported, followed, and filters kept under names."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tidemill.cli.figures import count, counted, moment, money
from tidemill.cli.messages import turn_lines
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, note, one_line, paint, say, say_json, width
from tidemill.cli.table import Cell, Column, table
from tidemill.cli.traces import ALL, Narrowed, list_traces, shortened, show_trace, trace_row
from tidemill.cli.traces_erase import erase_traces
from tidemill.cli.traces_import import import_traces
from tidemill.cli.traces_query import NUMBERS
from tidemill.cli.tree import text_of
from tidemill.core.errors import Invalid

if TYPE_CHECKING:
    from tidemill.client.shapes import SpanJson, TraceJson
    from tidemill.client.traces import GroupJson

_ENDINGS: dict[str, Literal["jsonl", "parquet", "otlp"]] = {
    ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".otlp": "otlp",
}  # fmt: skip


async def search(
    text: str,
    /,
    *,
    narrowed: Narrowed = ALL,
    meaning: bool = False,
    budget: int = 256,
    limit: int = 20,
    options: Options = DEFAULTS,
) -> None:
    """Find spans by words, or traces by what they mean.

    :param text: Words that all stand in a span; with --meaning a sentence.
    :param meaning: Find inputs and outputs that mean something like it, whatever their words.
    :param budget: With --meaning: look at N texts at most that were not looked at before.
    :param limit: At most N.
    """
    async with open_client(options) as client:
        if meaning:
            found = await client.search_by_meaning(
                text, filter=narrowed.filter, from_=narrowed.from_, to=narrowed.to, limit=limit, budget=budget
            )
            if options.json:
                say_json(found)
                return
            _say_meanings(found.get("items", ()))
            note(f"compared {found.get('covered', 0):,} of {counted(found.get('texts', 0), 'text')}")
            return
        spans = await client.search_spans(text, filter=narrowed.filter, from_=narrowed.from_, to=narrowed.to, limit=limit)
    if options.json:
        say_json({"items": spans})
        return
    _say_spans(spans)


def _say_meanings(traces: Sequence[TraceJson]) -> None:
    ids = shortened([each.get("id", "") for each in traces])
    rows = [
        [name, f"{each.get('similarity', 0):.2f}", moment(each, "start"), one_line(text_of(each.get("input")), longest=60)]
        for name, each in zip(ids, traces, strict=True)
    ]
    columns = [Column("trace"), Column("near", "point"), Column("start"), Column("input")]
    for line in table(columns, rows) if rows else ["no trace is like that"]:
        say(line)


def _say_spans(spans: Sequence[SpanJson]) -> None:
    ids = shortened([each.get("trace_id", "") for each in spans])
    rows = [
        [
            name, moment(each, "start"), one_line(each.get("name", ""), longest=20), each.get("kind", ""),
            one_line(each.get("error") or text_of(each.get("output")) or text_of(each.get("input")), longest=44),
        ]
        for name, each in zip(ids, spans, strict=True)
    ]  # fmt: skip
    columns = [Column("trace"), Column("start"), Column("span"), Column("kind"), Column("text")]
    for line in table(columns, rows) if rows else ["no span holds that"]:
        say(line)


async def sessions(
    session: str | None = None, /, *, narrowed: Narrowed = ALL, limit: int = 20, full: bool = False, options: Options = DEFAULTS
) -> None:
    """List conversations, the last active first; or show one.

    :param session: Show this one, turn by turn.
    :param limit: At most N conversations, or turns.
    :param full: Print inputs and outputs in full.
    """
    async with open_client(options) as client:
        if session is None:
            found = await client.trace_sessions(filter=narrowed.filter, from_=narrowed.from_, to=narrowed.to, limit=limit)
        else:
            shown = await client.trace_session(session, limit=limit)
            if options.json:
                say_json(shown)
                return
            say(_total(shown))
            for each in shown.get("items", ()):
                for line in turn_lines(each, full=full):
                    say(line)
            if shown.get("next"):
                note(f"there are more: tidemill traces sessions {session} --limit {limit * 2}")
            return
    if options.json:
        say_json({"items": found})
        return
    _say_groups(found, title="session", other="users", nothing="no session yet: send x-tidemill-session with a request")


async def users(*, narrowed: Narrowed = ALL, limit: int = 20, options: Options = DEFAULTS) -> None:
    """List whom traces were done for, the last seen first.

    :param limit: At most N.
    """
    async with open_client(options) as client:
        found = await client.trace_users(filter=narrowed.filter, from_=narrowed.from_, to=narrowed.to, limit=limit)
    if options.json:
        say_json({"items": found})
        return
    _say_groups(found, title="user", other="sessions", nothing="no user yet: send x-tidemill-user with a request")


def _say_groups(found: Sequence[GroupJson], *, title: str, other: Literal["users", "sessions"], nothing: str) -> None:
    rows = [
        [
            one_line(each.get("id", ""), longest=32), count(each.get("traces", 0)), moment(each, "last"),
            Cell(count(each.get("errors", 0)), "bad" if each.get("errors") else "plain"),
            _tokens(each),
            money(each.get("cost")), one_line(", ".join(each.get(other, ())), longest=24),
        ]
        for each in found
    ]  # fmt: skip
    columns = [
        Column(title), Column("traces", "right"), Column("last seen"), Column("errors", "right"), Column("tokens"),
        Column("cost", "point"), Column(other),
    ]  # fmt: skip
    for line in table(columns, rows) if rows else [nothing]:
        say(line)


def _total(group: GroupJson) -> str:
    pieces = [
        paint(clean(group.get("id", "")), "strong"), counted(group.get("traces", 0), "trace"),
        _tokens(group), money(group.get("cost")),
        counted(group.get("errors", 0), "error") if group.get("errors") else "", ", ".join(group.get("users", ())),
    ]  # fmt: skip
    return "  ".join(each for each in pieces if each)


def _tokens(group: GroupJson) -> str:
    tokens = group.get("usage", {})
    return f"{count(tokens.get('input_tokens', 0))} in / {count(tokens.get('output_tokens', 0))} out"


async def export(
    out: Path,
    /,
    *,
    format: Literal["jsonl", "parquet", "otlp"] | None = None,  # noqa: A002  (the option's name)
    q: str | None = None,
    narrowed: Narrowed = ALL,
    saved: str | None = None,
    options: Options = DEFAULTS,
) -> None:
    """Write whole traces to a file, the newest first.

    :param out: The file: NAME.jsonl (a trace a line), NAME.parquet (a span a row), NAME.otlp (OTLP in JSON lines).
    :param format: The format, whatever the file's name.
    :param q: Only traces with these words in an input or output.
    :param saved: Only what a saved query finds.
    """
    form = format or _ENDINGS.get(out.suffix)
    if form is None:
        raise Invalid(f"{out.name} does not say its format", hint="End it in .jsonl, .parquet or .otlp, or add --format.")
    if not out.parent.is_dir():
        raise Invalid(f"there is no folder {out.parent}", hint=f"Type: mkdir -p {out.parent}")
    part = out.with_name(f"{out.name}.part")
    try:
        async with open_client(options) as client:
            size = await client.export_traces(
                part, format=form, q=q, filter=narrowed.filter, saved=saved, from_=narrowed.from_, to=narrowed.to
            )
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    if options.json:
        say_json({"file": str(out), "format": form, "bytes": size})
        return
    say(f"{out}   {form}, {size:,} bytes")


async def save(
    name: str,
    /,
    *,
    filter: str,  # noqa: A002  (the option's name)
    description: str = "",
    options: Options = DEFAULTS,
) -> None:
    """Keep a filter under a name, for traces list --saved NAME.

    :param name: The name.
    :param filter: The expression.
    :param description: What it is for.
    """
    async with open_client(options) as client:
        kept = await client.save_query(name, filter, description=description)
    if options.json:
        say_json(kept)
        return
    say(f"{kept.get('name')}   {kept.get('filter')}")
    say(f"Next      tidemill traces list --saved {kept.get('name')}")


async def saved(name: str | None = None, /, *, delete: bool = False, options: Options = DEFAULTS) -> None:
    """List saved filters, or delete one.

    :param name: The one to delete.
    :param delete: Delete it.
    """
    async with open_client(options) as client:
        if name is not None and delete:
            await client.delete_saved_query(name)
            say_json({"deleted": name}) if options.json else say(f"{name} is deleted")
            return
        found = [each for each in await client.saved_queries() if name in {None, each.get("name")}]
    if options.json:
        say_json({"items": found})
        return
    rows = [[each.get("name", ""), clean(each.get("filter", "")), clean(each.get("description", ""))] for each in found]
    columns = [Column("name"), Column("filter"), Column("for")]
    for line in table(columns, rows) if rows else ['none yet: tidemill traces save slow --filter "latency > 10s"']:
        say(line)


async def tail(
    *,
    filter: str | None = None,  # noqa: A002  (the option's name)
    saved: str | None = None,
    limit: int | None = None,
    options: Options = DEFAULTS,
) -> None:
    """Print traces as they come, until Ctrl-C.

    :param filter: An expression, as of traces list.
    :param saved: Only what a saved query finds.
    :param limit: End after N.
    """
    if limit is not None and limit < 1:
        raise Invalid(f"--limit {limit} is not 1 or more", hint="Leave it out to follow until Ctrl-C.")
    shown = 0
    async with open_client(options) as client:
        if client.in_process:
            raise Invalid("there is no server whose traces could be followed", hint="Type: tidemill up")
        async for each in client.tail_traces(filter=filter, saved=saved):
            if options.json:
                say_json(each)
            else:
                _say_line(each)
            shown += 1
            if shown == limit:
                return


def _say_line(trace: TraceJson) -> None:
    row = trace_row(trace.get("id", "")[:12], trace)
    cells = [each if isinstance(each, Cell) else Cell(each) for each in row[:-1]]
    line = "  ".join(paint(f"{cell.text:<{size}}", cell.tone) for cell, size in zip(cells, (12, 19, 16, 6, 9, 9), strict=True))
    said = one_line(trace.get("error") or text_of(trace.get("output")), longest=max(10, width() - 84))
    say(f"{line}  {said}".rstrip())
    sys.stdout.flush()


COMMANDS = {
    "list": list_traces, "show": show_trace, "tail": tail, "sessions": sessions, "users": users, "search": search,
    "export": export, "import": import_traces, "save": save, "saved": saved, "erase": erase_traces, **NUMBERS,
}  # fmt: skip
