"""`tidemill tag`: tags, description and owner of an artifact, without a file."""

from __future__ import annotations

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, say, say_json
from tidemill.core.errors import Invalid


async def tag(
    ref: str, /, *tags: str, description: str | None = None, owner: str | None = None, options: Options = DEFAULTS
) -> None:
    """Set tags, description or owner of a version. Its digest stays. An apply of its file sets them to what the file says.

    :param ref: The artifact, for its latest version, or a version, as in prompt/answer@v3.
    :param tags: Tags as KEY=VALUE; KEY= removes one.
    :param description: What it is.
    :param owner: Who answers for it.
    """
    wanted = dict(_read(each) for each in tags)
    if not wanted and description is None and owner is None:
        raise Invalid("nothing is to be set", hint="Give tags as KEY=VALUE, --description TEXT or --owner NAME.")
    async with open_client(options) as client:
        changed = await client.tag(ref, wanted, description=description, owner=owner)
    if options.json:
        say_json(changed)
        return
    said = ", ".join(f"{key}={value}" if value else key for key, value in sorted(changed.get("tags", {}).items()))
    say(f"{changed.get('ref')}  {clean(said) or 'no tags'}")


def _read(written: str) -> tuple[str, str | None]:
    key, equals, value = written.partition("=")
    if not equals:
        raise Invalid(f"{written!r} is not KEY=VALUE", hint="Write team=search, or team= to remove it.")
    return key, value or None


COMMAND = tag
