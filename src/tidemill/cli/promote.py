"""`tidemill promote`: the same release, with its evidence, into another environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, cast

from cyclopts import Parameter

from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, paint, say, say_json
from tidemill.client.environments import DifferenceJson, PromotedJson, origin_of
from tidemill.core.json import Json


async def promote(
    app: str,
    /,
    *,
    to: str,
    origin: Annotated[str | None, Parameter(name="--from")] = None,
    why: str = "",
    dry_run: bool = False,
    elsewhere: bool = False,
    options: Options = DEFAULTS,
) -> int:
    """Let an app be this release in another environment. Nothing is built: it is the same digest.

    Endpoints whose document follows the app there, as in release: chain/handbook@production, serve it at once.

    :param app: A release's digest, or a reference, as in chain/handbook@staging.
    :param to: The environment, as in production.
    :param origin: The environment that it comes from. Default: the one that the rules of --to name.
    :param why: The reason, kept with the promotion.
    :param dry_run: Show what would happen, and change nothing. Exit 1 when it would be refused.
    :param elsewhere: The secrets of --to are on another machine: name those that are missing here, and go on.
    """
    async with open_client(options) as client:
        done = await client.promote(app, to=to, origin=origin, why=why, dry_run=dry_run, elsewhere=elsewhere)
    refused = dry_run and _would_be_refused(done, elsewhere=elsewhere)
    if options.json:
        say_json(done)
        return 1 if refused else 0
    print_promoted(done, dry_run=dry_run)
    return 1 if refused else 0


def print_promoted(done: PromotedJson, *, dry_run: bool) -> None:
    """What moved, on what evidence, what differs there, and what to do next."""
    origin = origin_of(done)
    way = f"{origin} -> {done.get('environment')}" if origin else f"-> {done.get('environment')}"
    word = "would be promoted" if dry_run else "promoted" if done.get("moved") else "is there already"
    say(f"{done.get('root')}   {way}   {word}")
    say(f"  release   {done.get('release')}")
    if done.get("before") not in {None, done.get("release")}:
        say(f"  before    {done.get('before')}")
    if origin and not done.get("in_origin"):
        say(f"  {paint('note', 'unsure')}      it was not in {origin}")
    _print_evidence(done)
    _print_connections(done)
    _print_policy(done)
    for name in done.get("deployed", ()):
        say(f"  serves    endpoint/{name}")
    if dry_run:
        say(f"Next      tidemill promote {done.get('root')} --to {done.get('environment')}")
    elif not done.get("follows"):
        say(f"Next      tidemill deploy {done.get('app')}@{done.get('environment')} --to endpoint/NAME")


def _print_evidence(done: PromotedJson) -> None:
    evidence = done.get("evidence", {})
    said = [
        f"evaluation {str(each.get('id'))[:13]} on {each.get('dataset')}" + _gathered_in(each)
        for each in evidence.get("evaluations", ())
    ]
    said += [f"{each.get('gate')} {each.get('result')}" for each in evidence.get("gates", ())]
    said += [f"approved by {each.get('who')} as {each.get('role')}" for each in evidence.get("approvals", ())]
    for place, each in enumerate(said or ["none"]):
        say(f"  {'evidence' if place == 0 else '':<8}  {clean(each)}")


def _gathered_in(evaluation: Mapping[str, Json]) -> str:
    return f", in {evaluation['environment']}" if evaluation.get("environment") else ""


def _print_connections(done: PromotedJson) -> None:
    used = [each for each in done.get("connections", ()) if each.get("models")]
    for each in used:
        for line in _difference(each, done):
            say(line)
    others = len(done.get("connections", ())) - len(used)
    if others:
        say(f"  {'':<8}  {others} more connections differ, which it does not use")
    for each in done.get("unset", ()):
        say(f"  {paint('unset', 'bad')}     connection/{each.get('connection')}, which {each.get('model')} needs")
    for each in done.get("missing", ()):
        say(f"  {paint('missing', 'bad')}   {clean(each.get('reference', ''))} of connection/{each.get('connection')}")
    for each in done.get("reported", ()):
        was, now = origin_of(each), each.get("to")
        if was is not None and now is None:
            say(f"  unknown   who answers {each.get('model')} there; it was {clean(str(was))}")
        elif was is not None and was != now:
            say(f"  changed   {each.get('model')} is answered by {clean(str(now))} there, by {clean(str(was))} before")


def _difference(each: DifferenceJson, done: PromotedJson) -> list[str]:
    name, before, after = f"connection/{each.get('name')}", origin_of(each), each.get("to")
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        place = done.get("environment") if before is None else done.get("compared")
        return [f"  differs   {name} is set in {place} only"]
    fields = [f"            {key:<13} {_text(before.get(key))} -> {_text(after.get(key))}" for key in each.get("fields", ())]
    return [f"  differs   {name}", *fields]


def _text(value: Json) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, cast("list[Json]", value))) or "none"
    return "none" if value is None else clean(str(value))


def _print_policy(done: PromotedJson) -> None:
    decision = done.get("policy", {})
    if decision.get("role"):
        say(f"  {paint('denied', 'bad')}    {clean(decision.get('role', ''))}")
    for each in decision.get("missing", ()):
        say(f"  {paint('missing', 'bad')}   {each.get('policy')} requires {clean(each.get('rule', ''))}")
        for line in (*each.get("found", ()), *each.get("commands", ())):
            say(f"            {clean(line)}")


def _would_be_refused(done: PromotedJson, *, elsewhere: bool) -> bool:
    ruled = bool(done.get("rule")) and not done.get("in_origin")
    return bool(
        ruled or done.get("unset") or (done.get("missing") and not elsewhere) or not done.get("policy", {}).get("allowed", True)
    )


COMMAND = promote
