"""`tidemill release`: lock an app with everything that it needs, under one digest, and prove that it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import orjson
from cyclopts import Parameter

from tidemill.cli.figures import moment, short
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import Tone, clean, note, paint, say, say_json
from tidemill.cli.table import Cell, Column, table
from tidemill.core.errors import Invalid
from tidemill.core.refs import is_digest, parse_ref

if TYPE_CHECKING:
    from tidemill.client import AsyncClient
    from tidemill.client.artifacts import VerificationJson, VerifiedLine
    from tidemill.client.shapes import ReleaseJson
    from tidemill.core.json import Json

_TONES: Mapping[str, Tone] = {"ok": "good", "erased": "unsure"}
_LARGEST_LOCK = 64 * 1024 * 1024


async def release(
    app: str, /, *, lock: Annotated[Path | None, Parameter(name="--lock")] = None, options: Options = DEFAULTS
) -> None:
    """Lock an app: every reference, direct or not, resolved to a digest.

    The same content gives the same release. It is signed when it is made.

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
    else:
        _print(made, sorted(cast("Mapping[str, Json]", made.get("lock", {}).get("artifacts") or {})))


async def verify(
    what: str,
    /,
    *,
    blobs: Annotated[Path | None, Parameter(name="--blobs")] = None,
    key: str = "",
    options: Options = DEFAULTS,
) -> int:
    """Prove that a release holds, or name what does not.

    Every digest is recomputed, every blob hashed and the signature checked. Exits 1 when it does not hold.

    :param what: A release's digest, its app (chain/handbook), or a lock file (handbook.lock.json).
    :param blobs: With a lock file: a folder of blobs to check it against; nothing else is read, and no server asked.
    :param key: The fingerprint of the key that must have signed it.
    """
    lock = await _read_lock(what) if what.endswith(".json") else None
    if blobs is not None:
        found = await _verify_folder(lock, blobs, key=key)
    else:
        async with open_client(options) as client:
            found = await client.verify_release(None if lock is not None else what, lock=lock, key=key)
    if options.json:
        say_json(found)
    else:
        _print_verified(found)
    return 0 if found.get("holds") else 1


async def list_releases(root: str | None = None, /, *, limit: int = 50, options: Options = DEFAULTS) -> None:
    """List the releases that were made, the newest of a name first.

    :param root: Only those of this app, as in chain/handbook.
    :param limit: At most N.
    """
    async with open_client(options) as client:
        found = await client.releases(root=root, limit=limit)
    if options.json:
        say_json({"items": found})
        return
    rows = [
        [
            each.get("ref", ""),
            str(each.get("root", "")),
            short(each.get("digest")),
            moment(each, "created"),
            "signed" if each.get("fingerprint") else Cell("not signed", "unsure"),
            "" if each.get("hermetic") else Cell("hermetic: false", "unsure"),
        ]
        for each in found
    ]
    names = ("release", "of", "digest", "made", "", "")
    for line in table([Column(name) for name in names], rows) if rows else ["no release yet: tidemill release chain/NAME"]:
        say(line)


async def show(what: str, /, *, options: Options = DEFAULTS) -> None:
    """Show what a release locks, who signed it, and whether it is hermetic.

    :param what: A release's digest, its reference (release/handbook@v2), or its app, for the newest one.
    """
    async with open_client(options) as client:
        found = await client.release(await _digest_of(client, what))
    if options.json:
        say_json(found)
        return
    locked = cast("Sequence[Mapping[str, str]]", found.get("artifacts", ()))
    longest = max((len(str(each.get("ref"))) for each in locked), default=0)
    _print(found, [f"{each.get('ref')!s:<{longest}}  {short(each.get('digest'))}" for each in locked])


async def _digest_of(client: AsyncClient, what: str) -> str:
    if is_digest(what):
        return what
    if parse_ref(what).kind == "release":
        return (await client.artifact(what)).get("digest", "")
    newest = await client.releases(root=what, limit=1)
    if not newest:
        raise Invalid(f"there is no release of {what}", hint=f"Make one: tidemill release {what}")
    return newest[0].get("digest", "")


async def _read_lock(name: str) -> Mapping[str, Json]:
    import anyio

    from tidemill.core.json import parse_json

    path = anyio.Path(name)
    try:
        if (await path.stat()).st_size > _LARGEST_LOCK:
            raise Invalid("it is too large to be a lock file", where=name)
        lock = parse_json(await path.read_bytes(), what=name)
    except OSError as error:
        raise Invalid(f"the lock file cannot be read: {error.strerror}", where=name) from error
    if not isinstance(lock, Mapping):
        raise Invalid("it is not a lock file", where=name, hint="Write one: tidemill release chain/x --lock x.lock.json")
    return lock


async def _verify_folder(lock: Mapping[str, Json] | None, folder: Path, *, key: str) -> VerificationJson:
    import anyio
    import anyio.to_thread

    from tidemill.store.verify import Folder, verify_lock

    if lock is None:
        raise Invalid("--blobs goes with a lock file", hint="Write: tidemill release verify NAME.lock.json --blobs DIR")
    if not await anyio.Path(folder).is_dir():
        raise Invalid(f"there is no folder {folder}", hint="Give the folder of blobs of an export, or of a data folder.")
    found = await anyio.to_thread.run_sync(lambda: verify_lock(lock, Folder(folder), key=key))
    return cast("VerificationJson", dict(found.as_json()))


def _print(made: ReleaseJson, locked: Sequence[str]) -> None:
    say(paint(made.get("digest", ""), "strong"))
    say(f"  root      {made.get('root')}")
    signature = made.get("signature")
    say(f"  signed    {signature.get('fingerprint')}" if signature else f"  signed    {paint('no', 'unsure')}")
    for each in made.get("why_not_hermetic", ()):
        say(f"  {paint('hermetic: false', 'unsure')}  {clean(each)}")
    for each in locked:
        say(f"  locks     {each}")


def _print_verified(found: VerificationJson) -> None:
    whole = [each for each in found.get("lines", ()) if each.get("state") == "ok" and each.get("detail")]
    named = max((len(each.get("name", "")) for each in whole), default=0)
    rows = [
        [Cell(str(each.get("state")), _TONES.get(str(each.get("state")), "bad")), each.get("what", ""), _told(each, named)]
        for each in found.get("lines", ())
    ]
    for line in table([Column(""), Column(""), Column("")], rows, heading=False):
        say(line)
    bad = sum(each.get("state") not in _TONES for each in found.get("lines", ()))
    if found.get("fingerprint") and found.get("own_key") is False:
        note("signed by another key than this platform's: compare the fingerprint, or pass --key")
    say(paint("the release holds", "good") if found.get("holds") else paint(f"the release does not hold: {bad} wrong", "bad"))


def _told(line: VerifiedLine, named: int) -> str:
    """What it is and its digest, short where all is well: what is wrong is named whole."""
    name, detail = line.get("name", ""), line.get("detail", "")
    if not detail or line.get("state") != "ok":
        return clean(f"{name}  {detail}" if detail else name)
    digest, _, more = detail.partition(": ")
    return clean(f"{name:<{named}}  {short(digest)}" + (f" {more}" if more else ""))


COMMAND = release
COMMANDS = {"verify": verify, "list": list_releases, "show": show}
