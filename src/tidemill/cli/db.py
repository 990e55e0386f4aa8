"""`tidemill db`: the database's state and schema, backups and restoring them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.cli.figures import counted
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import note, paint, say, say_json
from tidemill.cli.table import Column, table
from tidemill.core.errors import Conflict, Invalid
from tidemill.core.settings import Settings, load_settings

if TYPE_CHECKING:
    from tidemill.store.upkeep import Place


async def status(*, options: Options = DEFAULTS) -> int:
    """Show which database it is, its schema, its size, what is in it, and whether it is intact.

    Changes nothing. Exit 1 when it is damaged or its schema is not the newest.
    """
    settings, served = await _where(options)
    if served:
        async with open_client(options) as client:
            found: Mapping[str, Any] = dict(await client.database())
    else:
        from tidemill.api.db import state_json
        from tidemill.store.upkeep import state_of

        found = state_json(state_of(_place(settings)))
    if options.json:
        say_json(found)
    else:
        _show(found)
    return 0 if found["integrity"] == "ok" and not found["pending"] else 1


async def upgrade(*, dry_run: bool = False, options: Options = DEFAULTS) -> None:
    """Bring the schema up to date; `tidemill up` does so too. All of it or nothing.

    :param dry_run: Show the revisions and the SQL, and change nothing.
    """
    settings, served = await _where(options)
    if served:
        say_json({"applied": [], "statements": []}) if options.json else say("up to date: the server saw to it when it started")
        return
    from tidemill.store.upkeep import upgrade_schema

    revisions, statements = upgrade_schema(_place(settings), dry_run=dry_run)
    if options.json:
        say_json({"pending" if dry_run else "applied": list(revisions), "statements": list(statements)})
        return
    for each in statements:
        say(f"{each};")
    if not revisions:
        say("up to date")
    else:
        place = f"{revisions[0]} to {revisions[-1]}" if len(revisions) > 1 else revisions[0]
        note(f"{'would bring' if dry_run else 'brought'} the schema up to date: {place}")


async def backup(file: Path, /, *, no_blobs: bool = False, options: Options = DEFAULTS) -> None:
    """Write every row, every blob and the platform's keys to one file, while a server goes on.

    The file is there whole or not at all. It holds the private key that signs releases: keep it where others cannot read it.
    Traces are in it, unless they are on a ClickHouse server of your own.

    :param file: Where to, as in backup.zip; there must be nothing of that name.
    :param no_blobs: Leave the blobs out.
    """
    settings, served = await _where(options)
    if served:
        async with open_client(options) as client:
            found: Mapping[str, Any] = dict(await client.backup(file, blobs=not no_blobs))
    else:
        import anyio

        from tidemill.store.upkeep import back_up
        from tidemill.telemetry.engine.backup import traces_for_backup

        async with traces_for_backup(settings.data) as traces:
            made = back_up(_place(settings), file, with_blobs=not no_blobs, traces=traces)
        rows = sum(made.tables.values())
        found = {
            "digest": made.digest, "revision": made.revision, "rows": rows, "blobs": made.blobs,
            "file": str(file), "bytes": (await anyio.Path(file).stat()).st_size,
        }  # fmt: skip
    if options.json:
        say_json(found)
        return
    say(f"{file}  {counted(found['rows'], 'row')}, {counted(found['blobs'], 'blob')}, {found['bytes']:,} bytes")
    say(f"Digest    {found['digest']}")
    say(f"Next      tidemill db restore {file}    in an empty place")


async def restore(file: Path, /, *, force: str | None = None, options: Options = DEFAULTS) -> None:
    """Put back what a backup holds, where there is nothing yet, on SQLite or PostgreSQL whichever wrote it.

    The whole file is checked first: one that is cut off or altered changes nothing. No server may run.

    :param file: The backup.
    :param force: Replace what is there. Its name must be given: the database's, or the project folder's for SQLite.
    """
    from tidemill.store.upkeep import name_of
    from tidemill.store.upkeep import restore as put_back

    settings, served = await _where(options)
    if served:
        raise Conflict("a server runs here", where=str(settings.data), hint="Stop it first, then restore.")
    place = _place(settings)
    if force is not None and force != name_of(place):
        raise Invalid(f"{force!r} is not the name of what would be replaced", hint=f"Type: --force {name_of(place)}")
    found = put_back(place, file, force=force is not None)
    rows = sum(found.tables.values())
    if options.json:
        say_json({"revision": found.revision, "rows": rows, "blobs": found.blobs, "digest": found.digest})
        return
    say(f"restored {counted(rows, 'row')} and {counted(found.blobs, 'blob')}")
    if not found.with_blobs:
        note("the backup was made without blobs: put them back from where they are kept")


async def _where(options: Options) -> tuple[Settings, bool]:
    """The settings, and whether a server answers for them."""
    from tidemill.client.locate import locate

    settings = load_settings(Path.cwd(), data=options.data, project=options.project)
    return settings, (await locate(settings)).url is not None


def _place(settings: Settings) -> Place:
    from tidemill.store.upkeep import Place

    return Place.of(settings)


def _show(found: Mapping[str, Any]) -> None:
    pending = found["pending"]
    said = paint(f"{counted(len(pending), 'revision')} behind: tidemill db upgrade", "unsure") if pending else "the newest"
    intact = paint("intact", "good") if found["integrity"] == "ok" else paint(f"damaged: {found['integrity']}", "bad")
    say(f"{found['database']}  {found['kind']}, {found['bytes']:,} bytes, {intact}")
    say(f"  schema   {found['revision'] or 'none yet'}, {said}")
    say(f"  blobs    {found['blobs']:,}, {found['blob_bytes']:,} bytes")
    for each in found["processes"]:
        say(f"  server   process {each['pid']} on {each['host']} since {str(each['started'])[:16].replace('T', ' ')}")
    rows = [[name, f"{count:,}"] for name, count in sorted(found["tables"].items()) if count]
    if rows:
        sys.stdout.write("\n")
    for line in table([Column("table"), Column("rows", "right")], rows) if rows else ():
        say(line)


COMMANDS = {"status": status, "upgrade": upgrade, "backup": backup, "restore": restore}
