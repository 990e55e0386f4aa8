"""`tidemill index`: indexes, seen, built and searched."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from tidemill.cli.get import print_artifacts
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.progress import follow_job
from tidemill.cli.screen import one_line, say, say_json, width
from tidemill.core.refs import parse_ref


async def list_indexes(*, options: Options = DEFAULTS) -> None:
    """List indexes."""
    async with open_client(options) as client:
        found = await client.artifacts(kind="index")
    if options.json:
        say_json({"items": found})
    else:
        print_artifacts(found, empty="no index yet: tidemill apply")


async def build_index(index: str, /, *, options: Options = DEFAULTS) -> None:
    """Build an index; only what changed is embedded again.

    :param index: The index, as in index/handbook.
    """
    ref = parse_ref(index, kind="index")
    async with open_client(options) as client:
        job = await follow_job(client, await client.build_index(str(ref)), label="building the index", quiet=options.json)
    if options.json:
        say_json(job)


async def search_index(
    index: str,
    query: str,
    /,
    *,
    k: Annotated[int, Parameter(name="-k")] = 6,
    mode: Literal["vector", "fulltext", "hybrid"] = "hybrid",
    options: Options = DEFAULTS,
) -> None:
    """Search an index as a chain would.

    :param index: The index, as in index/handbook.
    :param query: What to look for.
    :param k: How many chunks.
    :param mode: By meaning, by words, or both.
    """
    ref = parse_ref(index, kind="index")
    async with open_client(options) as client:
        hits = await client.search_index(str(ref), query, k=k, mode=mode)
    if options.json:
        say_json({"items": hits})
        return
    for place, hit in enumerate(hits, 1):
        score = hit.get("score")
        say(f"{place:>2}  {hit.get('id')}  {score:.3f}" if isinstance(score, int | float) else f"{place:>2}  {hit.get('id')}")
        say(f"    {one_line(str(hit.get('text', '')), longest=width() - 4)}")


COMMANDS = {"list": list_indexes, "build": build_index, "search": search_index}
