"""The synchronous client, made of the asynchronous one: `src/tidemill/client/sync/NOUN.py` from `src/tidemill/client/NOUN.py`.

Every public method of every group of calls that `AsyncClient` is made of gets its twin: the same signature and docstring,
without `await`; an asynchronous iterator becomes an iterator. Without arguments the files are written; with `--check` it says
which are not up to date. `make docs` checks.
"""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "src" / "tidemill" / "client"
SYNC = CLIENT / "sync"
HEADER = "# Made by scripts/sync_client.py from src/tidemill/client/{source}; change that file and run the script.\n"
BY_HAND = frozenset({"__init__.py", "waiting.py"})
_BASE = "from tidemill.client.sync.waiting import Waiting\n"


@dataclass(frozen=True)
class Group:
    """A group of calls: the class, the module that it is in, and its source."""

    name: str
    module: str
    text: str
    tree: ast.Module

    @property
    def node(self) -> ast.ClassDef:
        return next(each for each in self.tree.body if isinstance(each, ast.ClassDef) and each.name == self.name)

    @property
    def methods(self) -> list[ast.AsyncFunctionDef]:
        return [each for each in self.node.body if isinstance(each, ast.AsyncFunctionDef) and not each.name.startswith("_")]


def groups() -> Iterator[Group]:
    """What `AsyncClient` is made of, in the order of its bases."""
    tree = ast.parse((CLIENT / "api.py").read_text("utf-8"))
    homes = {
        alias.name: node.module.rpartition(".")[2]
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    client = next(each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == "AsyncClient")
    for base in client.bases:
        name = ast.unparse(base)
        text = (CLIENT / f"{homes[name]}.py").read_text("utf-8")
        yield Group(name=name, module=homes[name], text=text, tree=ast.parse(text))


def twin(group: Group) -> str:
    """The module of a group's twin."""
    body = "\n".join(_method(group, each) for each in group.methods)
    doc = ast.get_docstring(group.node) or f"{group.name}."
    return "".join([
        HEADER.format(source=f"{group.module}.py"),
        f'"""{(ast.get_docstring(group.tree) or doc).splitlines()[0]}"""\n\n',
        "from __future__ import annotations\n\n",
        *_imports(group),
        _BASE,
        f'\n\nclass {group.name}(Waiting):\n    """{doc}"""\n\n{body}',
    ])  # fmt: skip


def client(found: list[Group]) -> str:
    """The module of `Client`, which is made of all of them."""
    imports = "".join(f"from tidemill.client.sync.{each.module} import {each.name}\n" for each in found)
    bases = "".join(f"    {each.name},\n" for each in found)
    return (
        HEADER.format(source="api.py")
        + '"""`Client`: the same as `AsyncClient`, without `await`."""\n\nfrom __future__ import annotations\n\n'
        + imports
        + f"\n\nclass Client(\n{bases}):\n"
        + '    """The control plane of one project. Use it as `with Client() as client:`.\n\n'
        + "    It talks to the server at `url` (else `TIDEMILL_URL`, else the one that holds the data folder) and, when there\n"
        + "    is none, opens the data folder in this process. Every method raises a `TidemillError` that says what failed.\n"
        + '    """\n'
    )


def _method(group: Group, node: ast.AsyncFunctionDef) -> str:
    """A method's twin; its signature and docstring as they are written, with their comments."""
    if node.decorator_list:
        raise SystemExit(f"{group.module}.py: {node.name} has a decorator, which has no twin")
    lines = group.text.splitlines(keepends=True)
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    head = "".join(lines[node.lineno - 1 : (first.end_lineno if documented else first.lineno - 1)])
    head = head.replace("async def ", "def ", 1)
    streams = _streams(node)
    if streams:
        head = head.replace("-> AsyncIterator[", "-> Iterator[", 1)
    arguments = ", ".join(_arguments(node.args))
    work = f"lambda: self._client.{node.name}({arguments})" if arguments else f"self._client.{node.name}"
    return f"{head}        return self.{'_each' if streams else '_wait'}({work})\n"


def _streams(node: ast.AsyncFunctionDef) -> bool:
    return isinstance(node.returns, ast.Subscript) and ast.unparse(node.returns.value) == "AsyncIterator"


def _arguments(args: ast.arguments) -> Iterator[str]:
    yield from (each.arg for each in [*args.posonlyargs, *args.args] if each.arg != "self")
    if args.vararg:
        yield f"*{args.vararg.arg}"
    yield from (f"{each.arg}={each.arg}" for each in args.kwonlyargs)
    if args.kwarg:
        yield f"**{args.kwarg.arg}"


def _imports(group: Group) -> Iterator[str]:
    """One import for each name that the signatures use."""
    wanted: set[str] = set()
    for node in group.methods:
        parts: list[ast.AST | None] = [node.args, node.returns]
        wanted |= {each.id for part in parts if part for each in ast.walk(part) if isinstance(each, ast.Name)}
        if _streams(node):
            wanted = (wanted - {"AsyncIterator"}) | {"Iterator"}
    known = _bound(group)
    for name in sorted(wanted - set(vars(builtins)) - {"Iterator"}):
        if name not in known:
            raise SystemExit(f"{group.module}.py: {group.name} uses {name}, which is not bound at the top of the module")
        yield known[name]
    if "Iterator" in wanted:
        yield "from collections.abc import Iterator\n"


def _bound(group: Group) -> Mapping[str, str]:
    """The import that gives a name of the module to another one."""
    found: dict[str, str] = {}
    for node in group.tree.body:
        if isinstance(node, ast.ImportFrom):
            found |= {_as(each): f"from {node.module} import {_written(each)}\n" for each in node.names}
        elif isinstance(node, ast.Import):
            found |= {_as(each): f"import {_written(each)}\n" for each in node.names}
        elif isinstance(node, ast.ClassDef):
            found[node.name] = f"from tidemill.client.{group.module} import {node.name}\n"
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {
                each.id: f"from tidemill.client.{group.module} import {each.id}\n"
                for each in targets
                if isinstance(each, ast.Name)
            }
    return found


def _as(alias: ast.alias) -> str:
    return alias.asname or alias.name


def _written(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name


def formatted(text: str, name: str) -> str:
    """As the house has it: imports in order, unused ones gone, lines wrapped."""
    ruff = str(Path(sys.executable).with_name("ruff"))
    for command in (("check", "--fix-only", "--select", "I,F401", "-q"), ("format", "-q")):
        ended = subprocess.run(
            (ruff, *command, "--stdin-filename", str(SYNC / name), "-"),
            cwd=ROOT, input=text, capture_output=True, text=True, check=True,
        )  # fmt: skip
        text = ended.stdout
    return text


def made() -> Mapping[Path, str]:
    """What the generated files should say, by path."""
    found = list(groups())
    texts = {f"{each.module}.py": twin(each) for each in found} | {"client.py": client(found)}
    return {SYNC / name: formatted(text, name) for name, text in texts.items()}


def outdated() -> list[str]:
    """What is wrong with the generated files as they are."""
    wanted = made()
    there = {each for each in SYNC.glob("*.py") if each.name not in BY_HAND}
    stale = {path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text}
    command = "python scripts/sync_client.py"
    return [
        *(f"{each.relative_to(ROOT)} is not up to date: {command}" for each in sorted(stale)),
        *(f"{each.relative_to(ROOT)} has no source any more: {command}" for each in sorted(there - set(wanted))),
    ]


def main() -> int:
    if "--check" in sys.argv[1:]:
        problems = outdated()
        print("\n".join(problems) or "the synchronous client is up to date")
        return 1 if problems else 0
    wanted = made()
    for path, text in wanted.items():
        path.write_text(text, "utf-8")
    for path in SYNC.glob("*.py"):
        if path.name not in BY_HAND and path not in wanted:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
