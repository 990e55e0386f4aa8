"""Running the code in a spec: exactly the modules that the digest covers, beside those of any other release.

The modules live below a private package named for their content; an absolute import of one of them finds its neighbour
there, and every other import goes the usual way.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from tidemill.core.digests import digest_json
from tidemill.core.errors import Invalid, TidemillError, Unavailable
from tidemill.core.json import Json, JsonObject
from tidemill.flows.code import find_module

_PREFIX = "tidemill_code_"
_LOCK = threading.Lock()


def load_callable(code: JsonObject, *, what: str) -> Callable[..., object]:
    """The callable of a spec's `code`. Raises `Unavailable` when its modules cannot be imported."""
    module, _, attribute = str(code["entry"]).partition(":")
    sources = code.get("modules")
    named = f"{_package_of(code)}.{module}" if isinstance(sources, Mapping) and sources else module
    try:
        with _LOCK:
            found: object = functools.reduce(getattr, attribute.split("."), importlib.import_module(named))
    except TidemillError:
        raise
    except Exception as error:
        # The user's module runs here, and may fail in any way.
        raise Unavailable(
            f"{what}: importing {module} raised {type(error).__name__}: {error}", hint="Fix it, then apply."
        ) from error
    if not callable(found):
        raise Invalid(f"{what}: {code['entry']} is not callable")
    return found


def _package_of(code: JsonObject) -> str:
    package = _PREFIX + digest_json(code).removeprefix("sha256:")[:24]
    sources = code["modules"]
    assert isinstance(sources, Mapping)
    _Finder.installed().add(package, {name: str(text) for name, text in sources.items()})
    return package


class _Finder(importlib.abc.MetaPathFinder):
    """Finds modules below the private packages."""

    def __init__(self) -> None:
        self._sources: dict[str, Mapping[str, str]] = {}

    @classmethod
    @functools.cache
    def installed(cls) -> _Finder:
        finder = cls()
        sys.meta_path.insert(0, finder)
        return finder

    def add(self, package: str, sources: Mapping[str, str]) -> None:
        self._sources.setdefault(package, sources)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002  (the interface's)
        target: ModuleType | None = None,  # noqa: ARG002  (the interface's)
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, module = fullname.partition(".")
        sources = self._sources.get(package)
        if sources is None:
            return None
        is_package = not module or any(each.startswith(f"{module}.") for each in sources)
        if module and module not in sources and not is_package:
            return None
        loader = _Loader(
            sources.get(module, ""), package=package, module=module, roots=frozenset(each.partition(".")[0] for each in sources)
        )
        return importlib.util.spec_from_loader(fullname, loader, is_package=is_package)


class _Loader(importlib.abc.Loader):
    def __init__(self, source: str, *, package: str, module: str, roots: frozenset[str]) -> None:
        self._source = source
        self._package = package
        self._module = module
        self._roots = roots

    def exec_module(self, module: ModuleType) -> None:
        origin = find_module(self._module) if self._module else None
        file = origin.origin if origin and origin.origin else f"<{self._module}>"
        module.__file__ = file
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": functools.partial(self._import)}
        exec(compile(self._source, file, "exec"), module.__dict__)  # noqa: S102  (the project's own function, named in a spec)

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002  (as __import__ calls it)
        locals: Mapping[str, Any] | None = None,  # noqa: A002  (as __import__ calls it)
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level or name.partition(".")[0] not in self._roots:
            found = builtins.__import__(name, globals, locals, fromlist or (), level)
            return self._importing() if found is importlib else found
        if fromlist:
            return builtins.__import__(f"{self._package}.{name}", globals, locals, fromlist, 0)
        importlib.import_module(f"{self._package}.{name}")
        return sys.modules[f"{self._package}.{name.partition('.')[0]}"]

    def _importing(self) -> ModuleType:
        """`importlib` as these modules see it: what they import by name is their neighbour too."""

        def import_module(name: str, package: str | None = None) -> ModuleType:
            is_ours = package is None and name.partition(".")[0] in self._roots
            return importlib.import_module(f"{self._package}.{name}" if is_ours else name, package)

        seen = ModuleType("importlib")
        seen.__dict__.update({**vars(importlib), "import_module": import_module})
        return seen


def as_json(value: object, *, what: str) -> Json:
    """What a callable gave, as JSON: plain values, dataclasses, dates. Raises `Invalid` for the rest."""
    import orjson  # noqa: PLC0415  (an option of its own is used here)

    try:
        result: Json = orjson.loads(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))
    except (TypeError, orjson.JSONEncodeError) as error:
        raise Invalid(
            f"{what} gave a value that is not JSON: {error}", hint="Return text, numbers, lists and objects."
        ) from error
    return result
