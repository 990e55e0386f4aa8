"""Help of one command: the example first, then usage, then what each argument means."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path

from cyclopts import App, Argument, Parameter

from tidemill.cli.commands import Command
from tidemill.cli.examples import EXAMPLES
from tidemill.cli.screen import say, width, wrapped

_COMMON = ("--json", "--project", "--data-folder")


def make_app(name: str, function: Callable[..., object]) -> App:
    """A parser for one function; it prints nothing and never exits."""
    app = App(name=f"tidemill {name}", version_flags=(), help_flags=(), default_parameter=Parameter(negative=()))
    app.default(function)
    return app


def option_names(app: App) -> list[str]:
    """Every option of the parser's function."""
    return [name for each in _arguments(app) for name in each.names if name.startswith("-")]


def print_command(name: str, command: Command, app: App) -> None:
    """The help of one command."""
    positional = [each for each in _arguments(app) if not each.names[0].startswith("-")]
    options = [each for each in _arguments(app) if each.names[0].startswith("-")]
    required = [f"{each.names[0]} {_placeholder(each)}" for each in options if each.required]
    words = [each.names[0] if each.required else f"[{each.names[0]}]" for each in positional]
    function = app.default_command
    text = inspect.getdoc(function) or ""
    description, _, _ = text.partition("\n:param ")
    own = _example(name, command)
    if own:
        say(f"Example   {own}")
    say(f"Usage     {' '.join(['tidemill', name, *words, *required, '[OPTIONS]'])}")
    say()
    for paragraph in description.strip().split("\n\n"):
        for line in wrapped(" ".join(paragraph.split())):
            say(line)
        say()
    _print_arguments(positional + [each for each in options if each.names[0] not in _COMMON])
    say("Common to all commands")
    _print_arguments([each for each in options if each.names[0] in _COMMON])


def with_default(
    functions: Mapping[str, Callable[..., object]], default: Callable[..., object] | None
) -> Mapping[str, Callable[..., object]]:
    """The subcommands and, first, what the command does without one, under the name of its argument, as in RELEASE."""
    if default is None:
        return functions
    return {next(iter(inspect.signature(default).parameters)).upper(): default, **functions}


def print_group(name: str, command: Command, functions: Mapping[str, Callable[..., object]]) -> None:
    """The help of a command that has subcommands."""
    say(f"Example   {command.example}")
    say(f"Usage     tidemill {name} COMMAND [OPTIONS]")
    say()
    say(f"{command.summary}.")
    say()
    room = max(10, *(len(verb) + 2 for verb in functions))
    for verb, function in functions.items():
        lines = wrapped((inspect.getdoc(function) or "").splitlines()[0], longest=width() - room - 2)
        say(f"  {verb:<{room}}{lines[0]}")
        for line in lines[1:]:
            say(" " * (room + 2) + line)


def _example(name: str, command: Command) -> str:
    if command.example.startswith(f"tidemill {name}"):
        return command.example
    return EXAMPLES.get(name, f"tidemill {name}")


def _arguments(app: App) -> list[Argument]:
    return [each for each in app.assemble_argument_collection(parse_docstring=True) if each.show and each.names[0] != "*"]


def _print_arguments(arguments: list[Argument]) -> None:
    for each in arguments:
        names = ", ".join(sorted(each.names, key=len))
        start = f"  {names} {_placeholder(each)}".rstrip()
        lines = wrapped(_explained(each), longest=64) or [""]
        if len(start) > 30:
            say(start)
            start = ""
        say(f"{start:<32}{lines[0]}".rstrip())
        for line in lines[1:]:
            say(" " * 32 + line)
    say()


def _explained(argument: Argument) -> str:
    text = " ".join((argument.parameter.help or "").split())
    default: object = argument.field_info.default
    if argument.required and argument.names[0].startswith("-"):
        return f"{text} Required.".strip()
    if default in (None, False, (), inspect.Parameter.empty, "") or not isinstance(default, str | int | float):
        return text
    return f"{text} Default: {default}.".strip()


def _placeholder(argument: Argument) -> str:
    """What stands for the value, as in `--limit N`; nothing for a flag."""
    if not argument.names[0].startswith("-"):
        return ""
    kinds = {str: "TEXT", int: "N", float: "X", Path: "PATH"}
    hint = argument.hint
    inner = [each for each in (typing.get_args(hint) or (hint,)) if each not in (type(None), ...)]
    if inner == [bool]:
        return ""
    if typing.get_origin(hint) is typing.Literal:
        return "|".join(map(str, inner))
    many = "…" if typing.get_origin(hint) is tuple else ""
    return kinds.get(inner[0], "TEXT") + many
