"""`tidemill get`: what exists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tidemill.cli.figures import moment, short
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import one_line, say, say_json
from tidemill.cli.table import Column, table
from tidemill.client.shapes import EndpointJson, VersionJson
from tidemill.core.errors import Invalid
from tidemill.core.refs import KINDS
from tidemill.core.suggest import did_you_mean

if TYPE_CHECKING:
    from tidemill.client.artifacts import DeletedJson


async def get(
    what: str | None = None,
    /,
    *,
    q: str | None = None,
    tag: Annotated[tuple[str, ...], Parameter(name="--tag")] = (),
    owner: str | None = None,
    deleted: bool = False,
    limit: int | None = None,
    options: Options = DEFAULTS,
) -> None:
    """List the latest version of every artifact, of one kind, or get one by its reference.

    :param what: A kind, as in prompt, or a reference, as in prompt/answer. Default: everything.
    :param q: Only those with these words in the name, description, owner or tags.
    :param tag: Only those with this tag, as KEY=VALUE; give it again for more.
    :param owner: Only those of this owner.
    :param deleted: What was deleted and can be restored, instead.
    :param limit: At most N.
    """
    async with open_client(options) as client:
        if what is not None and "/" in what:
            found = [await client.artifact(what)]
            if options.json:
                say_json(found[0])
                return
        elif what in {"endpoint", "endpoints"}:
            print_endpoints(await client.endpoints(), as_json=options.json)
            return
        elif deleted:
            print_deleted(await client.deleted(kind=kind_of(what), limit=limit), as_json=options.json)
            return
        else:
            found = await client.artifacts(kind=kind_of(what), q=q, tags=_tags(tag), owner=owner, limit=limit)
    if options.json:
        say_json({"items": found})
        return
    empty = "nothing yet: tidemill apply" if what is None else f"no {what} yet"
    print_artifacts(found, empty="nothing like this" if q or tag or owner else empty)


def print_deleted(found: Sequence[DeletedJson], *, as_json: bool) -> None:
    """A line a deleted version: when, by whom, until when it can be restored."""
    if as_json:
        say_json({"items": found})
        return
    rows = [
        [
            each.get("ref", ""),
            moment(each, "deleted"),
            each.get("deleted_by", ""),
            each.get("until", "")[:10],
            one_line(each.get("why", ""), longest=60),
        ]
        for each in found
    ]
    names = ("reference", "deleted", "by", "restorable until", "why")
    for line in table([Column(name) for name in names], rows) if rows else ["nothing is deleted"]:
        say(line)


def _tags(written: Sequence[str]) -> dict[str, str]:
    for each in written:
        if "=" not in each:
            raise Invalid(f"--tag {each!r} is not KEY=VALUE", hint="Write --tag team=search.")
    return {key: value for key, _, value in (each.partition("=") for each in written)}


def kind_of(what: str | None) -> str | None:
    """A kind, in the singular or in the plural."""
    if what is None or what in KINDS:
        return what
    singular = what.removesuffix("es") if what.removesuffix("es") in KINDS else what.removesuffix("s")
    if singular not in KINDS:
        raise Invalid(f"{what!r} is not a kind", hint=did_you_mean(what, KINDS))
    return singular


def print_artifacts(found: Sequence[VersionJson], *, empty: str) -> None:
    """A line an artifact, with the reference to paste."""
    if not found:
        say(empty)
        return
    rows = [
        [
            each.get("ref", ""),
            short(each.get("digest")),
            moment(each, "created_ns", "created"),
            one_line(each.get("description", ""), longest=60),
        ]
        for each in found
    ]
    for line in table([Column("reference"), Column("digest"), Column("made"), Column("description")], rows):
        say(line)


def print_endpoints(found: Sequence[EndpointJson], *, as_json: bool) -> None:
    """A line an endpoint."""
    if as_json:
        say_json({"items": found})
        return
    rows = [
        [f"endpoint/{each.get('name')}", short(each.get("release")), moment(each, "updated_ns", "updated")] for each in found
    ]
    for line in (
        table([Column("endpoint"), Column("serves"), Column("since")], rows) if rows else ["no endpoint yet: tidemill deploy"]
    ):
        say(line)


COMMAND = get
