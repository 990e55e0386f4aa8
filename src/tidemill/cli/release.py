"""`tidemill release`: lock an app with everything that it needs, under one digest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import orjson
from cyclopts import Parameter

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import note, say, say_json
from tidemill.core.refs import parse_ref


async def release(
    app: str, /, *, lock: Annotated[Path | None, Parameter(name="--lock")] = None, options: Options = DEFAULTS
) -> None:
    """Lock an app: every reference, direct or not, resolved to a digest. The same content gives the same release.

    :param app: The app, as in chain/handbook.
    :param lock: Write the lock into this file, or as NAME.lock.json into this folder.
    """
    import anyio

    async with open_client(options) as client:
        made = await client.make_release(app)
    if lock is not None:
        path = lock / f"{parse_ref(app).name}.lock.json" if await anyio.Path(lock).is_dir() else lock
        await anyio.Path(path).write_bytes(orjson.dumps(made.get("lock"), option=orjson.OPT_INDENT_2) + b"\n")
        note(f"wrote {path}")
    if options.json:
        say_json(made)
        return
    say(f"{made.get('digest')}")
    say(f"  root    {made.get('root')}")
    artifacts = cast("dict[str, object]", (made.get("lock") or {}).get("artifacts") or {})
    for ref in sorted(artifacts):
        say(f"  locks   {ref}")


COMMAND = release
