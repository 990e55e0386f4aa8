"""The code that an artifact runs, found without running it: its source, and the project's modules that it imports.

The sources stand in the spec, so a digest covers them and a release runs the code that it was made of. Modules of the standard
library and of installed packages stay outside; of a package its version is kept.
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

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.suggest import did_you_mean

_LARGEST: Final = 1_000_000
_DYNAMIC: Final = frozenset({"__import__", "import_module", "exec", "eval", "compile", "run_module", "run_path"})
Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_FORM: Final = "Write package.module:callable, with the module in the project folder or installed."


@dataclass(frozen=True, kw_only=True, slots=True)
class Code:
    """What `module:callable` needs: `modules` by name with their sources, `packages` with their versions.

    `definition` is the callable's syntax when it is a plain function; `hermetic` is False when something was imported that
    could not be followed.
    """

    entry: str
    modules: Mapping[str, str]
    packages: Mapping[str, str]
    hermetic: bool
    definition: Definition | None

    def as_json(self) -> JsonObject:
        """Its canonical form, which `load_code` reads."""
        spec: dict[str, Json] = {"entry": self.entry, "modules": dict(self.modules), "packages": dict(self.packages)}
        return spec if self.hermetic else {**spec, "hermetic": False}


@dataclass(slots=True)
class _Closure:
    modules: dict[str, str] = field(default_factory=dict[str, str])
    packages: dict[str, str] = field(default_factory=dict[str, str])
    hermetic: bool = True
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
    return Code(
        entry=entry,
        modules=dict(sorted(closure.modules.items())),
        packages=dict(sorted(closure.packages.items())),
        hermetic=closure.hermetic,
        definition=definition,
    )


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
        source = _source_of(module) or ""
        closure.modules[module] = source
        closure.size += len(source)
        if closure.size > _LARGEST:
            raise Invalid(f"the code of {first!r} and what it imports from the project is larger than {_LARGEST:,} characters")
        package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
        tree = _parse(source, module=module)
        if any(_is_dynamic(node) for node in ast.walk(tree)):
            closure.hermetic = False
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
            yield from (f"{base}.{each.name}" for each in node.names if each.name != "*")


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
        closure.hermetic = False


def _is_dynamic(node: ast.AST) -> bool:
    """A call that may import or run what cannot be read from the source."""
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    if isinstance(called, ast.Name):
        return called.id in _DYNAMIC
    return isinstance(called, ast.Attribute) and called.attr in {"import_module", "run_module", "run_path"}
