"""`tidemill diff`: what differs between two versions, or between two releases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.plan import print_changes
from tidemill.cli.screen import clean, paint_words, say, say_json, wrapped
from tidemill.cli.words import spec_changes
from tidemill.client.shapes import Change, VersionJson
from tidemill.core.errors import Invalid, NotFound
from tidemill.core.refs import is_digest, parse_ref

if TYPE_CHECKING:
    from tidemill.client import AsyncClient


async def diff(a: str, b: str | None = None, /, *, options: Options = DEFAULTS) -> None:
    """Show what differs between two versions of an artifact, or between two releases.

    With one reference: from that version to the latest, or from the version before to the latest.

    :param a: The old one: a reference, or a release's digest.
    :param b: The new one.
    """
    async with open_client(options) as client:
        if is_digest(a) or (b is not None and is_digest(b)):
            await _print_release_diff(client, a, b, as_json=options.json)
            return
        old, new = await _versions(client, a, b)
    changes = list(spec_changes(old.get("spec", {}), new.get("spec", {})))
    if options.json:
        say_json({"from": old.get("ref"), "to": new.get("ref"), "changes": changes})
        return
    say(f"{old.get('ref')} -> {new.get('ref')}")
    for each in changes or ["no difference" if old.get("digest") == new.get("digest") else "what it references differs"]:
        for line in wrapped(clean(each), indent="  "):
            say(paint_words(line))


async def _print_release_diff(client: AsyncClient, a: str, b: str | None, *, as_json: bool) -> None:
    if b is None:
        raise Invalid("a release is compared with another one", hint="Write: tidemill diff RELEASE RELEASE")
    found = await client.release_diff(a, b)
    if as_json:
        say_json(found)
        return
    changes = cast("Sequence[Change]", found.get("changes", ()))
    print_changes(changes, changes)


async def _versions(client: AsyncClient, a: str, b: str | None) -> tuple[VersionJson, VersionJson]:
    if b is not None:
        return await client.artifact(a), await client.artifact(b)
    ref = parse_ref(a)
    latest = await client.artifact(ref.bare)
    if ref.version is not None:
        return await client.artifact(a), latest
    versions = await client.versions(ref.bare)
    if len(versions) < 2:
        raise NotFound(f"{ref.bare} has one version", hint="There is nothing to compare it with.")
    return versions[1], latest


COMMAND = diff
