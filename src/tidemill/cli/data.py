"""`tidemill data`: datasets and their rows."""

from __future__ import annotations

from tidemill.cli.erase import erase
from tidemill.cli.figures import as_text
from tidemill.cli.from_traces import from_traces
from tidemill.cli.get import print_artifacts
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import one_line, say, say_json, width
from tidemill.core.refs import parse_ref


async def list_datasets(*, options: Options = DEFAULTS) -> None:
    """List datasets."""
    async with open_client(options) as client:
        found = await client.artifacts(kind="dataset")
    if options.json:
        say_json({"items": found})
    else:
        print_artifacts(found, empty="no dataset yet: tidemill apply")


async def show_dataset(dataset: str, /, *, limit: int = 20, options: Options = DEFAULTS) -> None:
    """Show rows of a dataset.

    :param dataset: The dataset, as in dataset/questions@v2.
    :param limit: At most N rows.
    """
    ref = parse_ref(dataset, kind="dataset")
    async with open_client(options) as client:
        rows = await client.samples(str(ref), limit=limit)
    if options.json:
        say_json({"items": rows})
        return
    for row in rows:
        say(str(row.get("id", "")))
        for name, value in row.items():
            if name not in {"id", "digest", "row"} and value not in (None, {}, ""):
                say(f"  {name:<11}{one_line(as_text(value), longest=width() - 13)}")


COMMANDS = {"list": list_datasets, "show": show_dataset, "from-traces": from_traces, "erase": erase}
