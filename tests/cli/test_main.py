"""Usage, help and how a command ends."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
from importlib import import_module

import pytest

from tidemill.cli.commands import COMMANDS
from tidemill.cli.examples import EXAMPLES
from tidemill.cli.help import make_app

TIDEMILL = (sys.executable, "-c", "from tidemill.cli.main import main; main()")
PROBE = "import sys; from tidemill.cli.main import run; run(['--help']); print(*sorted(sys.modules), file=sys.stderr)"


def test_help_names_every_command_and_starts_with_an_example(tidemill) -> None:
    ended = tidemill("--help")
    assert ended.code == 0
    assert ended.out.startswith("Example   tidemill ")
    lines = [line.split() for line in ended.out.splitlines()]
    for name, command in COMMANDS.items():
        assert [name, *command.summary.split()] in lines
    assert max(map(len, ended.out.splitlines())) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_an_example_within_100_columns(tidemill, name: str) -> None:
    ended = tidemill(name, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"Example   {COMMANDS[name].example}")
    assert max(map(len, ended.out.splitlines())) <= 100
    module = import_module(f"tidemill.cli.{COMMANDS[name].module}")
    verbs = list(getattr(module, "COMMANDS", ())) or [""]
    for verb in verbs:
        text = tidemill(*filter(None, (name, verb)), "--help").out
        assert "--json" in text
        assert "tidemill" in text.splitlines()[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_each_command_is_one_that_it_takes(name: str) -> None:
    command = COMMANDS[name]
    module = import_module(f"tidemill.cli.{command.module}")
    functions = {f"{name} {verb}": each for verb, each in getattr(module, "COMMANDS", {}).items()}
    if hasattr(module, "COMMAND"):
        functions[name] = module.COMMAND
    if name in functions or command.example.startswith(tuple(f"tidemill {each}" for each in functions)):
        longest = max((each for each in functions if f"{command.example} ".startswith(f"tidemill {each} ")), key=len)
        examples = {longest: command.example}
    else:
        examples = {}
    for verb, function in functions.items():
        example = examples.get(verb) or EXAMPLES.get(verb, f"tidemill {verb}")
        if verb == name and name not in examples:
            continue
        tokens = shlex.split(example)[1 + len(verb.split()) :]
        make_app(verb, function).parse_args(tokens, print_error=False, exit_on_error=False)


def test_help_imports_nothing_heavy() -> None:
    found = subprocess.run((sys.executable, "-c", PROBE), capture_output=True, text=True, check=True).stderr.split()
    heavy = {"rich", "httpx", "cyclopts", "anyio", "asyncio", "pydantic", "fastapi", "sqlalchemy", "numpy", "ruamel", "orjson"}
    assert not heavy & set(found)


def test_import_tidemill_imports_nothing_heavy() -> None:
    code = "import sys, tidemill; print(*sorted(sys.modules))"
    found = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True).stdout.split()
    assert not {"rich", "httpx", "anyio", "orjson", "tidemill.client", "tidemill.core"} & set(found)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "needs a command"),
        (("evla",), "Did you mean eval?"),
        (("--jsn",), "unknown option '--jsn'"),
        (("plan", "--jsn"), "Did you mean --json?"),
        (("eval",), "parameter APP requires an argument"),
        (("eval", "chain/x"), "--data requires an argument"),
        (("eval", "chain/x", "--data", "d", "-n", "many"), 'unable to convert "many" into int'),
        (("run", "chain/x", "extra"), "unused Tokens: ['extra']"),
        (("traces",), "needs one of list, show, tail"),
        (("traces", "shw"), "Did you mean show?"),
        (("init", "--template", "poetry"), "poetry"),
        (("index", "search", "index/x", "q", "--mode", "psychic"), "psychic"),
    ],
)
def test_wrong_usage_exits_2_with_one_clear_message(tidemill, arguments: tuple[str, ...], says: str) -> None:
    ended = tidemill(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert says in ended.err
    assert "Traceback" not in ended.err


def test_version(tidemill) -> None:
    assert tidemill("--version").out.startswith("tidemill 0.")


def in_terminal(*arguments: str, cwd: object = None) -> tuple[int, str]:
    """Run it where standard input and output are a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        (*TIDEMILL, *arguments), stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"}, cwd=cwd
    ) as child:
        os.close(theirs)
        pieces = []
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            pieces.append(piece)
        os.close(ours)
    return child.returncode, b"".join(pieces).decode()


def test_without_arguments_a_terminal_is_helped() -> None:
    assert in_terminal()[0] == 0
    code, text = in_terminal("eval")
    assert code == 0
    assert text.startswith("Example   tidemill eval")
    assert in_terminal("traces")[0] == 0


def test_colour_only_in_a_terminal(tmp_path, process) -> None:
    _, text = in_terminal("doctor", cwd=tmp_path)
    assert "\x1b[32mok" in text
    assert "\x1b" not in process("doctor").out


def test_a_closed_pipe_is_quiet() -> None:
    command = f"{sys.executable} -c 'from tidemill.cli.main import main; main()' --help | true; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    assert ended.stdout.strip() in {"0", "141"}


def test_ctrl_c_exits_130(monkeypatch: pytest.MonkeyPatch, tidemill) -> None:
    import tidemill.cli.get as module

    async def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "COMMAND", interrupted)
    assert tidemill("get").code == 130


def test_an_error_of_our_own_is_one_line(monkeypatch: pytest.MonkeyPatch, tidemill) -> None:
    import tidemill.cli.get as module

    async def broken() -> None:
        raise ExceptionGroup("group", [ZeroDivisionError("division by zero")])

    monkeypatch.setattr(module, "COMMAND", broken)
    ended = tidemill("get")
    assert ended.code == 70
    assert ended.err.splitlines()[0] == "error: an error of Tidemill's own: ZeroDivisionError: division by zero"
