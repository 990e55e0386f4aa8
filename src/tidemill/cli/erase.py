"""`tidemill data erase`: take rows out of every place that holds them, for good."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

from cyclopts import Parameter

from tidemill.cli.figures import counted
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import in_terminal, note, say, say_json
from tidemill.core.errors import Invalid
from tidemill.core.refs import parse_ref


async def erase(
    dataset: str,
    /,
    *,
    sample: Annotated[tuple[str, ...], Parameter(name="--sample")] = (),
    why: str = "",
    yes: Annotated[bool, Parameter(name=["--yes", "-y"])] = False,
    options: Options = DEFAULTS,
) -> int:
    """Erase rows for good, from every place that holds them.

    That is every version of the dataset, every other dataset with the same row, and what evaluations kept. It cannot be undone.
    Asks for the dataset's name in a terminal. A release that locks the dataset verifies as erased.

    :param dataset: The dataset, as in dataset/questions.
    :param sample: The id of a sample, without a column of ids its row's number; give it again for more.
    :param why: The reason, kept with the tombstone and in the audit.
    :param yes: Do not ask.
    """
    ref = parse_ref(dataset, kind="dataset")
    if not sample or not why:
        raise Invalid("what is erased, and why, must be said", hint="Give --sample ID and --why TEXT.")
    if not yes and in_terminal(sys.stdin) and in_terminal():
        import anyio.to_thread

        asked = partial(input, f"{len(sample)} samples go for good. Type {ref.name} to erase them: ")
        if (await anyio.to_thread.run_sync(asked, abandon_on_cancel=True)).strip() != ref.name:
            note("nothing was erased")
            return 1
    async with open_client(options) as client:
        done = await client.erase_rows(str(ref), sample, why=why)
    if options.json:
        say_json(done)
        return 0
    versions = ", ".join(done.get("versions", ())) or "no version"
    say(f"erased    {counted(done.get('rows', 0), 'row')} from {counted(done.get('blobs', 0), 'blob')}, of {versions}")
    kept = {"evaluation sample": "evaluation_samples", "cached output": "steps", "cached score": "scores"}
    say(f"purged    {', '.join(counted(done.get(key, 0), name) for name, key in kept.items())}")
    return 0
