"""The step `python`: call a function of the project with `with` as its arguments.

It runs the source that the pipeline's version holds, so an edit while it runs changes nothing. What the function writes by
`logging`, and what it passes to its argument `log` when it has one, is kept as the step's lines.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Final

import anyio.to_thread

from tidemill.core.errors import Invalid, TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.flows.load_code import as_json, load_callable
from tidemill.pipelines.step import StepContext

_writing: Final[contextvars.ContextVar[Callable[[str], None] | None]] = contextvars.ContextVar("writing", default=None)


class _Lines(logging.Handler):
    """Passes what a step logs on to the step's lines, and nothing else."""

    def emit(self, record: logging.LogRecord) -> None:
        write = _writing.get()
        if write is not None:
            write(
                f"{record.levelname.lower()}: {record.getMessage()}" if record.levelno != logging.INFO else record.getMessage()
            )


@functools.cache
def _installed() -> _Lines:
    handler = _Lines(level=logging.INFO)
    logging.getLogger().addHandler(handler)
    return handler


async def call_python(args: JsonObject, context: StepContext) -> Json:
    """Call it. Raises `Invalid` for arguments that it does not take, `Unavailable` for what it raises."""
    code, given = context.code, args.get("with")
    assert isinstance(code, Mapping)
    what = f"step {context.step!r}"
    call = await anyio.to_thread.run_sync(functools.partial(load_callable, code, what=what))
    arguments: dict[str, object] = dict(given) if isinstance(given, Mapping) else {}
    try:
        signature = inspect.signature(call)
        if "log" in signature.parameters and "log" not in arguments:
            arguments["log"] = context.log
        signature.bind(**arguments)
    except TypeError as error:
        raise Invalid(f"{what} cannot call {code.get('entry')}: {error}", hint="Give it in with: {name: value}.") from error
    _installed()
    token = _writing.set(context.log)
    try:
        return as_json(await _call(call, arguments), what=what)
    except TidemillError:
        raise
    except Exception as error:
        # The user's code runs here, and may fail in any way.
        raise Unavailable(f"{code.get('entry')} raised {type(error).__name__}: {error}") from error
    finally:
        _writing.reset(token)


async def _call(call: Callable[..., object], arguments: Mapping[str, object]) -> object:
    if inspect.iscoroutinefunction(call):
        return await call(**arguments)
    value = await anyio.to_thread.run_sync(functools.partial(call, **arguments), abandon_on_cancel=True)
    return await value if inspect.isawaitable(value) else value
