"""`tidemill run`: one execution of an app."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import orjson
from cyclopts import Parameter

from tidemill.cli.figures import as_text, count, duration, money
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import clean, in_terminal, note, say, say_json
from tidemill.core.errors import Invalid, Unavailable
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.refs import is_digest, parse_ref

if TYPE_CHECKING:
    from tidemill.client import AsyncClient
    from tidemill.client.shapes import RunJson


async def run(
    app: str,
    /,
    *,
    input_: Annotated[tuple[str, ...], Parameter(name=["--input", "-i"])] = (),
    stream: bool = False,
    release: str | None = None,
    environment: str | None = None,
    options: Options = DEFAULTS,
) -> None:
    """Run an app once and print its output.

    :param app: A chain, agent, prompt or model, as in chain/handbook or chain/handbook@production.
    :param input_: NAME=TEXT, once for each input. NAME=@FILE reads the text from a file; NAME:=JSON gives any other
        value.
    :param stream: Print the answer as it is made.
    :param release: Run this release of the app: its sha256 digest.
    :param environment: Whose connections it uses, as in staging. Default: the server's.
    """
    inputs = read_inputs(input_)
    target = _target(app, release)
    async with open_client(options) as client:
        if stream:
            await _stream(client, target, inputs, environment=environment, as_json=options.json)
            return
        result = await client.run(target, inputs, environment=environment)
    if options.json:
        say_json(result)
        return
    say(clean(_as_answer(result.get("output"))))
    note(_summary(result))


def _target(app: str, release: str | None) -> str:
    if is_digest(app):
        return app
    parse_ref(app)
    if release is None:
        return app
    if not is_digest(release):
        raise Invalid(
            f"{release!r} is not a release's digest", hint="Write sha256: and 64 hexadecimal digits; see: tidemill release"
        )
    return release


def read_inputs(given: Sequence[str]) -> dict[str, Json]:
    """`name=text`, `name=@file` and `name:=json` as one object."""
    inputs = dict[str, Json]()
    for each in given:
        name, equals, value = each.partition("=")
        typed = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name:
            raise Invalid(
                f"the input {each!r} has no name", hint="Write --input NAME=TEXT, as in --input question='What is it?'"
            )
        if name in inputs:
            raise Invalid(f"the input {name!r} is given twice", hint="Give each input once.")
        if typed:
            inputs[name] = parse_json(value, what=f"the input {name!r}")
        else:
            inputs[name] = _from_file(value[1:]) if value.startswith("@") else value
    return inputs


def _from_file(path: str) -> str:
    try:
        return (sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")).rstrip("\n")
    except OSError as error:
        raise Invalid(f"cannot be read: {error.strerror}", where=path) from error
    except UnicodeDecodeError as error:
        raise Invalid(f"not UTF-8 at byte {error.start}", where=path) from error


async def _stream(client: AsyncClient, app: str, inputs: JsonObject, *, environment: str | None, as_json: bool) -> None:
    result: RunJson | None = None
    written = False
    async for event in client.stream_run(app, inputs, environment=environment):
        data = orjson.loads(event.data)
        if as_json:
            sys.stdout.write(orjson.dumps({"event": event.name, **data}).decode() + "\n")
        elif event.name == "delta":
            sys.stdout.write(clean(str(data.get("text", ""))))
            written = True
        sys.stdout.flush()
        if event.name == "result":
            result = cast("RunJson", data)
    if result is None:
        raise Unavailable("the answer broke off before its end", hint="What came is above; run it again.")
    if not as_json:
        say("" if written else clean(_as_answer(result.get("output"))))
        note(_summary(result))


def _as_answer(output: Json) -> str:
    """What to print of an output: its text where that is all it has, else JSON."""
    if isinstance(output, Mapping) and isinstance(output.get("text"), str) and not output.get("tool_calls"):
        return cast("str", output["text"])
    if isinstance(output, str):
        return output
    return orjson.dumps(output, option=orjson.OPT_INDENT_2).decode() if in_terminal() else as_text(output)


def _summary(result: RunJson) -> str:
    usage = result.get("usage") or {}
    tokens = f"{count(usage.get('input_tokens', 0))} in / {count(usage.get('output_tokens', 0))} out"
    pieces = [duration(result.get("latency_ms")), money(result.get("cost")), tokens]
    trace = result.get("trace")
    return "  ".join([*pieces, f"tidemill traces show {trace}" if trace else ""]).rstrip()


COMMAND = run
