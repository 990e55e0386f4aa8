"""The code that an artifact runs, found without running it: its source, and the project's modules that it imports.

The sources stand in the spec, so a digest covers them and a release runs the code that it was made of. Modules of the standard
library and of installed packages stay outside; of a package its version is kept, and the digest of the project's lock file.
Where the digest does not cover all that runs, it says why: see `Code.why`.
"""

from __future__ import annotations

import ast
import functools
import importlib
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.machinery import BuiltinImporter, ModuleSpec, PathFinder
from pathlib import Path
from typing import Final, TypeAlias

from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import Json, JsonObject
from tidemill.core.suggest import did_you_mean
from tidemill.flows.lock_file import LockFile, find_lock

_LARGEST: Final = 1_000_000
_IMPORTING: Final = frozenset({"__import__", "import_module"})
_DYNAMIC: Final = frozenset({"exec", "eval", "compile", "run_module", "run_path"})
Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_FORM: Final = "Write package.module:callable, with the module in the project folder or installed."


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """What `module:callable` needs: `modules` by name with their sources, `packages` with their versions.

    `definition` is the callable's syntax when it is a plain function. `why` says what the digest does not cover: something
    imported that could not be followed, or packages without a lock file. `lock` is that of the project, when packages are used.
    """

    entry: str
    modules: Mapping[str, str]
    packages: Mapping[str, str]
    why: tuple[str, ...]
    definition: Definition | None
    lock: LockFile | None = None

    @property
    def hermetic(self) -> bool:
        """Whether the digest covers all that runs."""
        return not self.why

    @property
    def notes(self) -> tuple[Problem, ...]:
        """What a plan tells of it."""
        hint = "A release with it says hermetic: false."
        return tuple(Problem(message=f"hermetic: false: {each}", hint=hint) for each in self.why)

    def as_json(self) -> JsonObject:
        """Its canonical form, which `load_code` reads."""
        spec: dict[str, Json] = {"entry": self.entry, "modules": dict(self.modules), "packages": dict(self.packages)}
        if self.lock is not None:
            spec["lock"] = {"file": self.lock.name, "digest": self.lock.digest}
        return spec if self.hermetic else {**spec, "hermetic": False, "why": list(self.why)}


@dataclass(slots=True)
class _Closure:
    modules: dict[str, str] = field(default_factory=dict[str, str])
    packages: dict[str, str] = field(default_factory=dict[str, str])
    why: dict[str, None] = field(default_factory=dict[str, None])
    size: int = 0


def read_code(entry: str) -> Code:
    """Find the code of `module:callable`. Raises `Invalid` when there is no such module or callable, or its syntax is wrong."""
    module, _, attribute = entry.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise Invalid(f"{entry!r} does not name a callable", hint=_FORM)
    importlib.invalidate_caches()
    source = _source_of(module)
    closure = _Closure()
    definition = None
    if source is not None:
        definition = _find_definition(source, attribute, module=module)
    if _is_local(module):
        _follow(module, closure)
    else:
        _note_package(module, closure)
    lock = None
    if closure.packages:
        lock = find_lock(find_module(module.partition(".")[0]) if _is_local(module) else None)
        _note_lock(lock, closure)
    return Code(
        entry=entry,
        modules=dict(sorted(closure.modules.items())),
        packages=dict(sorted(closure.packages.items())),
        why=tuple(sorted(closure.why)),
        definition=definition,
        lock=lock,
    )


def _note_lock(lock: LockFile | None, closure: _Closure) -> None:
    if lock is None:
        closure.why[f"imports {', '.join(sorted(closure.packages))}, and there is no lock file"] = None
    else:
        lacking = lock.lacks(sorted(closure.packages))
        if lacking:
            closure.why[f"imports {', '.join(lacking)}, which {lock.name} does not have"] = None


def find_module(name: str) -> ModuleSpec | None:
    """Where a module would be imported from, without importing it or its parents."""
    if name in sys.builtin_module_names:
        return BuiltinImporter.find_spec(name)
    path: Sequence[str] | None = None
    spec = None
    for part in name.split("."):
        # By its last part only: for `a.b` the finder would look for an imported `a`.
        spec = PathFinder.find_spec(part, path)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or ())
    return spec


def _source_of(module: str) -> str | None:
    """A module's source; None for one without (built in, compiled, or a folder)."""
    spec = find_module(module)
    if spec is None:
        top = module.partition(".")[0]
        where = "in the project folder" if find_module(top) is None else f"in {top}"
        raise Invalid(f"there is no module {module!r} {where}", hint=_FORM)
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        return Path(spec.origin).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(f"the module {module!r} is not valid UTF-8") from error


def _find_definition(source: str, attribute: str, *, module: str) -> Definition | None:
    tree = _parse(source, module=module)
    names: dict[str, ast.AST] = {}
    for node in tree.body:
        names.update(_bound(node))
    top = attribute.partition(".")[0]
    starred = any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in tree.body)
    if top not in names and not starred and "__getattr__" not in names:
        public = [each for each in names if not each.startswith("_")]
        raise Invalid(f"the module {module!r} has no {top!r}", hint=did_you_mean(top, public))
    found = names.get(attribute)
    return found if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef) else None


def _bound(node: ast.stmt) -> dict[str, ast.AST]:
    """The names that a statement at the top of a module binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name: node}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(each.asname or each.name).partition(".")[0]: node for each in node.names}
    return {each.id: node for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}


def _parse(source: str, *, module: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise Invalid(f"the module {module!r} is not valid Python: {error}") from error


def _follow(first: str, closure: _Closure) -> None:
    left = [first]
    while left:
        module = left.pop()
        if module in closure.modules:
            continue
        spec = find_module(module)
        if spec is None:
            continue
        source = _source_of(module)
        if source is None and spec.origin is not None:
            closure.why[f"{module} is not Python source"] = None
        source = source or ""
        closure.modules[module] = source
        closure.size += len(source)
        if closure.size > _LARGEST:
            raise Invalid(f"the code of {first!r} and what it imports from the project is larger than {_LARGEST:,} characters")
        package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
        tree = _parse(source, module=module)
        for each in _dynamic(tree):
            closure.why[f"{module} {each}"] = None
        for each in _imported(tree, package=package):
            left.extend(_local_parts(each, closure))
        left.extend(_parents(module))


def _imported(tree: ast.Module, *, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, base] if base else parts)
            yield base
            names = [each.name for each in node.names]
            yield from (f"{base}.{each}" for each in (_all_of(base) if names == ["*"] else names))
        elif isinstance(node, ast.Call) and _called(node) in _IMPORTING and (name := _named(node)) is not None:
            parts = package.split(".")
            above = len(name) - len(name.lstrip("."))
            yield ".".join([*parts[: len(parts) - above + 1], name.lstrip(".")]) if above else name


def _all_of(module: str) -> list[str]:
    """The names in a package's `__all__`, which an import of `*` imports too."""
    source = _source_of(module) if _is_local(module) else None
    for node in _parse(source, module=module).body if source is not None else ():
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List | ast.Tuple) and "__all__" in _bound(node):
            return [str(each.value) for each in node.value.elts if isinstance(each, ast.Constant)]
    return []


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _local_parts(name: str, closure: _Closure) -> list[str]:
    if _is_local(name):
        return [name]
    # `from package import thing` names a thing, not a module, when there is no such module.
    if not _is_local(name.partition(".")[0]):
        _note_package(name, closure)
    return []


def _is_local(module: str) -> bool:
    """Whether a module is the project's own: importable, and neither standard nor installed."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "tidemill":
        return False
    spec = find_module(module)
    if spec is None:
        return False
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    return bool(places) and not any(_is_installed(Path(each)) for each in places)


def _is_installed(path: Path) -> bool:
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    return any(path.is_relative_to(each) for each in _library_folders())


@functools.cache
def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")})


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _note_package(name: str, closure: _Closure) -> None:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top == "__future__":
        return
    distributions = _distributions().get(top)
    if distributions:
        for each in distributions:
            closure.packages[each] = metadata.version(each)
    elif top != "tidemill":
        closure.why[f"imports {top}, which is not installed"] = None


def _dynamic(tree: ast.Module) -> Iterator[str]:
    """What a module does that may import or run what cannot be read from its source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = _called(node)
            if called in _IMPORTING and _named(node) is None:
                yield f"calls {called} with a name that is not written there"
            elif called in _DYNAMIC:
                yield f"calls {called}"


def _called(node: ast.Call) -> str:
    """The name of what is called: of a method only where it means the same as the function."""
    called = node.func
    if isinstance(called, ast.Name):
        return called.id
    if isinstance(called, ast.Attribute) and called.attr in {"import_module", "run_module", "run_path"}:
        return called.attr
    return ""


def _named(node: ast.Call) -> str | None:
    """The module that a call imports, where it is written as text; a relative name only beside `__package__`."""
    given = [*node.args, *(each.value for each in node.keywords if each.arg == "package")]
    if not given or len(given) != len(node.args) + len(node.keywords):
        return None
    first, *rest = given
    if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return None
    is_here = len(rest) == 1 and isinstance(rest[0], ast.Name) and rest[0].id == "__package__"
    return first.value if (is_here if first.value.startswith(".") else not rest) else None
