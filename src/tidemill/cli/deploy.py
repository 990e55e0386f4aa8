"""`tidemill deploy`: serve an app at a stable address."""

from __future__ import annotations

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import say, say_json
from tidemill.client.shapes import EndpointJson


async def deploy(app: str, /, *, to: str, environment: str | None = None, options: Options = DEFAULTS) -> None:
    """Serve an app or a release at an endpoint, which is made when it is missing.

    Requests in flight end on the release that they began with.

    :param app: The app, as in chain/handbook, or a release's digest.
    :param to: The endpoint, as in endpoint/handbook.
    :param environment: Whose connections it answers through, as in production. Default: as before, or the server's.
    """
    async with open_client(options) as client:
        endpoint = await client.deploy(app, to=to, environment=environment)
        in_process = client.in_process
    if options.json:
        say_json(endpoint)
        return
    print_endpoint(endpoint)
    if endpoint.get("previous"):
        say(f"Back      tidemill rollback endpoint/{endpoint.get('name')}")
    if in_process:
        say("Next      tidemill up, then ask it as the model "
            f"endpoint/{endpoint.get('name')} at /v1/chat/completions")  # fmt: skip


def print_endpoint(endpoint: EndpointJson) -> None:
    """What an endpoint serves, with digests that can be pasted."""
    say(f"endpoint/{endpoint.get('name')}")
    say(f"  serves  {endpoint.get('release') or 'nothing yet'}")
    if endpoint.get("previous"):
        say(f"  before  {endpoint.get('previous')}")
    rollout = endpoint.get("rollout")
    if rollout:
        say(f"  canary  {rollout.get('canary', {}).get('release')}   {rollout.get('share'):g} % of the callers")


COMMAND = deploy
