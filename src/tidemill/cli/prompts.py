"""`tidemill prompts`: prompts."""

from __future__ import annotations

from tidemill.cli.get import print_artifacts
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import say_json
from tidemill.cli.show import print_version
from tidemill.core.refs import parse_ref


async def list_prompts(*, options: Options = DEFAULTS) -> None:
    """List prompts."""
    async with open_client(options) as client:
        found = await client.artifacts(kind="prompt")
    if options.json:
        say_json({"items": found})
    else:
        print_artifacts(found, empty="no prompt yet: tidemill apply")


async def show_prompt(prompt: str, /, *, options: Options = DEFAULTS) -> None:
    """Show one prompt.

    :param prompt: The prompt, as in prompt/answer@v3.
    """
    ref = parse_ref(prompt, kind="prompt")
    async with open_client(options) as client:
        found = await client.artifact(str(ref))
    if options.json:
        say_json(found)
    else:
        print_version(found)


COMMANDS = {"list": list_prompts, "show": show_prompt}
