"""`tidemill lineage`: what made a thing, and what it feeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anyio
from cyclopts import Parameter

from tidemill.cli.figures import counted
from tidemill.cli.lineage_impact import impact_lines
from tidemill.cli.lineage_tree import lineage_trees, path_lines
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, note, say, say_json
from tidemill.client.lineage import Lineage, RefusedEvent, TakenJson
from tidemill.core.errors import EXIT_CODE, Invalid
from tidemill.core.json import Json, dump_json, parse_json

if TYPE_CHECKING:
    from tidemill.client import AsyncClient

_AT_ONCE = 500


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """How far to look, and at what."""

    up: bool = False
    """Only what it was made of."""

    down: bool = False
    """Only what was made of it."""

    depth: int | None = None
    """At most so many links away."""

    kinds: tuple[str, ...] = ()
    """Only these kinds, as in --kinds release."""

    by: Literal["version", "artifact"] = "version"
    """Roll versions up to what they are versions of: --by artifact."""

    ends: bool = False
    """Only what has nothing beyond it: roots and leaves."""

    limit: int = 200
    """At most N things in each direction."""

    cursor: str | None = None
    """Where a cut answer goes on."""


_WHOLE = Reach()


async def lineage(
    ref: str | None = None,
    /,
    *,
    to: str | None = None,
    impact: bool = False,
    reach: Reach = _WHOLE,
    openlineage: Path | None = None,
    openlineage_from: Path | None = None,
    since: str | None = None,
    options: Options = DEFAULTS,
) -> None:
    """Show what a thing was made of and what was made of it, as a tree.

    :param ref: As in prompt/answer@v3, endpoint/x, index/handbook#docs/a.pdf, trace/ID, file/PATH.
    :param to: The shortest line from it to this.
    :param impact: What stands on it, in words: indexes, releases, endpoints, answered requests.
    :param openlineage: Write what happened here to this file as OpenLineage events ("-": print them).
    :param openlineage_from: Take OpenLineage events of other systems from this file.
    :param since: With --openlineage: from then on, as in 24h.
    """
    if openlineage is not None or openlineage_from is not None:
        await _exchange(openlineage, openlineage_from, since=since, options=options)
        return
    if ref is None:
        raise Invalid("lineage of what?", hint="Type: tidemill lineage prompt/answer, or any other reference.")
    async with open_client(options) as client:
        if impact:
            found = await client.lineage_impact(ref, limit=min(reach.limit, 20))
            _show(found, impact_lines(found), options)
        elif to is not None:
            path = await client.lineage_path(ref, to)
            _show(path, path_lines(path, ref, to), options)
        else:
            graph = await _walk(client, ref, reach)
            _show(graph, lineage_trees(graph), options)


async def _walk(client: AsyncClient, ref: str, reach: Reach) -> Lineage:
    return await client.lineage(
        ref,
        direction="both" if reach.up == reach.down else "up" if reach.up else "down",
        depth=reach.depth,
        kinds=reach.kinds,
        by=reach.by,
        ends=reach.ends,
        limit=reach.limit,
        cursor=reach.cursor,
    )


def _show(document: object, lines: list[str], options: Options) -> None:
    if options.json:
        say_json(document)
        return
    for line in lines:
        say(line)


async def _exchange(out: Path | None, taken: Path | None, *, since: str | None, options: Options) -> None:
    async with open_client(options) as client:
        if out is not None:
            lines = [dump_json(each) async for each in client.openlineage(since=since)]
            if str(out) == "-":
                for each in lines:
                    say(each.decode())
                return
            await anyio.Path(out).write_bytes(b"".join(each + b"\n" for each in lines))
            _say_or_json({"events": len(lines), "file": str(out)}, f"{counted(len(lines), 'event')} in {out}", options)
        if taken is not None:
            _report(await _send(client, await _read(taken)), options)


async def _send(client: AsyncClient, events: list[Json]) -> TakenJson:
    told = TakenJson(kept=0, known=0, refused=[])
    for start in range(0, len(events), _AT_ONCE):
        answer = await client.send_openlineage(events[start : start + _AT_ONCE])
        told["kept"] += answer["kept"]
        told["known"] += answer["known"]
        shifted = [RefusedEvent(event=each["event"] + start, reason=each["reason"]) for each in answer["refused"]]
        told["refused"] = [*told["refused"], *shifted]
    return told


def _report(told: TakenJson, options: Options) -> None:
    if options.json:
        say_json(told)
    else:
        for each in told["refused"]:
            note(f"event {each['event'] + 1}: {clean(each['reason'])}")
        say(f"{told['kept']} kept, {told['known']} known before, {len(told['refused'])} refused")
    if told["refused"]:
        raise SystemExit(EXIT_CODE["invalid"])


async def _read(path: Path) -> list[Json]:
    try:
        lines = (await anyio.Path(path).read_bytes()).splitlines()
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", hint="Name a file with one event a line.") from error
    return [parse_json(line, what=f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]


def _say_or_json(document: object, text: str, options: Options) -> None:
    if options.json:
        say_json(document)
    else:
        say(text)


COMMAND = lineage
