"""The way in: find the command, read its arguments, run it, and end with the promised exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import cast

from tidemill.cli.commands import COMMANDS, Command
from tidemill.core.errors import EXIT_CODE, Invalid, TidemillError

USAGE = EXIT_CODE["invalid"]
_INTERRUPTED, _BROKEN_PIPE = 130, 141
_HELP = frozenset({"-h", "--help"})


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code. No error leaves as a traceback, except with `TIDEMILL_DEBUG` set."""
    try:
        code = _dispatch(list(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the last flush is quiet, too
        return _BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  (the process's boundary)
        return _report(error)
    return code


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        return _without_arguments(_print_overview, missing="a command")
    name, *rest = arguments
    if name in _HELP or name == "help":
        if rest and rest[0] in COMMANDS:
            return _dispatch([*rest, "--help"])
        _print_overview()
        return 0
    if name == "--version":
        from tidemill.version import __version__

        sys.stdout.write(f"tidemill {__version__}\n")
        return 0
    command = COMMANDS.get(name)
    if command is None:
        from tidemill.core.suggest import nearest

        near = nearest(name, COMMANDS)
        what = "option" if name.startswith("-") else "command"
        raise Invalid(f"unknown {what} {name!r}", hint=f"Did you mean {near}?" if near else "See: tidemill --help")
    return _run_command(name, command, rest)


def _run_command(name: str, command: Command, rest: list[str]) -> int:
    module = import_module(f"tidemill.cli.{command.module}")
    functions: dict[str, Callable[..., object]] | None = getattr(module, "COMMANDS", None)
    if functions is None:
        return _call(name, command, module.COMMAND, rest)
    if not rest or rest[0] in _HELP:
        from tidemill.cli.help import print_group, with_default

        listed = with_default(functions, getattr(module, "COMMAND", None))
        if rest:
            print_group(name, command, listed)
            return 0
        return _without_arguments(
            lambda: print_group(name, command, listed), missing=f"one of {', '.join(listed)}", command=name
        )
    verb, *rest = rest
    if verb not in functions and hasattr(module, "COMMAND"):
        return _call(name, command, module.COMMAND, [verb, *rest])
    if verb not in functions:
        from tidemill.core.suggest import did_you_mean

        raise Invalid(f"unknown command 'tidemill {name} {verb}'", hint=did_you_mean(verb, functions))
    return _call(f"{name} {verb}", command, functions[verb], rest)


def _call(name: str, command: Command, function: Callable[..., object], tokens: list[str]) -> int:
    from cyclopts.exceptions import CycloptsError, MissingArgumentError

    from tidemill.cli.help import make_app, option_names, print_command

    app = make_app(name, function)
    if _asks_for_help(tokens):
        print_command(name, command, app)
        return 0
    try:
        called, bound, *_ = app.parse_args(tokens, print_error=False, exit_on_error=False)
    except MissingArgumentError as error:
        if not tokens:
            return _without_arguments(
                lambda: print_command(name, command, app), missing=_lower(str(error)).removesuffix("."), command=name
            )
        raise _usage_error(error, name=name, options=option_names(app)) from error
    except CycloptsError as error:
        raise _usage_error(error, name=name, options=option_names(app)) from error
    return _finish(called(*bound.args, **bound.kwargs))


def _finish(result: object) -> int:
    if hasattr(result, "__await__"):
        import anyio

        async def wait() -> object:
            return await result  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]

        result = anyio.run(wait)
    return result if isinstance(result, int) else 0


def _without_arguments(show: Callable[[], None], *, missing: str, command: str = "") -> int:
    """In a terminal a command without arguments helps; in a script it fails with usage."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        show()
        return 0
    name = f"tidemill {command}".strip()
    raise Invalid(
        f"{name} needs {missing}" if " requires " not in missing else f"{name}: {_lower(missing)}", hint=f"See: {name} --help"
    )


def _asks_for_help(tokens: list[str]) -> bool:
    before = tokens[: tokens.index("--")] if "--" in tokens else tokens
    return any(each in _HELP for each in before)


def _usage_error(error: Exception, *, name: str, options: Iterable[str]) -> Invalid:
    message, meant, suggestion = _lower(str(error).strip().splitlines()[0]).partition(". Did you mean ")
    hint = f"Did you mean {suggestion}" if meant else f"See: tidemill {name} --help"
    if not meant and message.startswith("unknown option"):
        from tidemill.core.suggest import nearest

        near = nearest(message.removesuffix(".").rpartition(" ")[2], options)
        hint = f"Did you mean {near}?" if near else hint
    return Invalid(message.removesuffix("."), hint=hint)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _print_overview() -> None:
    from tidemill.cli.overview import overview

    sys.stdout.write(overview())


def _report(error: Exception) -> int:
    from tidemill.cli.failures import report

    found = _innermost(error)
    if isinstance(found, KeyboardInterrupt):
        return _INTERRUPTED
    if isinstance(found, TidemillError):
        return report(found)
    if os.environ.get("TIDEMILL_DEBUG"):
        raise error
    if isinstance(found, OSError) and found.filename is not None:
        return report(Invalid(f"{found.strerror}: {found.filename}"))
    kind = type(found).__name__
    unexpected = TidemillError(
        f"an error of Tidemill's own: {kind}: {found}", hint="Set TIDEMILL_DEBUG=1 to see where, and report it."
    )
    return report(unexpected)


def _innermost(error: BaseException) -> BaseException:
    """What a task group wrapped."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error
