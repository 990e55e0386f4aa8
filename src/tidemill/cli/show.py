"""`tidemill show`: one thing in full."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from tidemill.cli.deploy import print_endpoint
from tidemill.cli.evaluate import print_evaluation
from tidemill.cli.figures import as_text, moment
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, paint, say, say_json
from tidemill.client.shapes import ReleaseJson, VersionJson
from tidemill.core.json import Json
from tidemill.core.refs import is_digest, parse_ref

if TYPE_CHECKING:
    from tidemill.client import AsyncClient

T = TypeVar("T")


async def show(what: str, /, *, options: Options = DEFAULTS) -> None:
    """Show one version of an artifact, a release, an endpoint or an evaluation.

    :param what: A reference (prompt/answer@v3, endpoint/handbook), a release's digest, or an evaluation's id.
    """
    async with open_client(options) as client:
        await _show(client, what, as_json=options.json)


async def _show(client: AsyncClient, what: str, *, as_json: bool) -> None:
    if is_digest(what):
        _print(await client.release(what), _print_release, as_json=as_json)
    elif "/" not in what:
        _print(await client.evaluation(what), print_evaluation, as_json=as_json)
    elif parse_ref(what).kind == "endpoint":
        _print(await client.endpoint(what), print_endpoint, as_json=as_json)
    else:
        _print(await client.artifact(what), print_version, as_json=as_json)


def _print(document: T, for_people: Callable[[T], None], *, as_json: bool) -> None:
    if as_json:
        say_json(document)
    else:
        for_people(document)


def print_version(version: VersionJson) -> None:
    """Everything that a version holds."""
    say(paint(version.get("ref", ""), "strong"))
    facts = {
        "digest": version.get("digest", ""),
        "made": moment(version, "created_ns", "created"),
        "about": version.get("description", ""),
        "owner": version.get("owner", ""),
        "tags": ", ".join(f"{name}={value}" for name, value in version.get("tags", {}).items()),
        "aliases": ", ".join(map(str, version.get("aliases", ()))),
    }
    for name, value in facts.items():
        if value:
            say(f"  {name:<9}{clean(value)}")
    for ref, digest in version.get("refs", {}).items():
        say(f"  {'uses':<9}{ref}  {digest}")
    say()
    for line in outline(version.get("spec", {})):
        say(clean(line))


def _print_release(release: ReleaseJson) -> None:
    say(paint(release.get("digest", ""), "strong"))
    say(f"  root     {release.get('root')}")
    for each in cast("Sequence[Mapping[str, str]]", release.get("artifacts", ())):
        say(f"  locks    {each.get('ref')}  {each.get('digest')}")


def outline(value: Json, indent: str = "") -> Iterator[str]:
    """A JSON value laid out like YAML, for reading."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _entry(f"{key}:", each, indent)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            yield from _entry("-", each, indent)
    else:
        yield indent + as_text(value)


def _entry(label: str, value: Json, indent: str) -> Iterator[str]:
    is_text = isinstance(value, str)
    if is_text and "\n" in value:
        yield f"{indent}{label} |"
        yield from (f"{indent}  {line}" for line in value.splitlines())
    elif is_text or not isinstance(value, Sequence | Mapping) or not value:
        yield f"{indent}{label} {as_text(value)}"
    else:
        yield f"{indent}{label}"
        yield from outline(value, indent + "  ")


COMMAND = show
