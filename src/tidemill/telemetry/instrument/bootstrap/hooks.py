"""What traces a program without a change to it: the instrumentors that are installed, each begun when its library is imported.

This file is also run by Pythons that have no Tidemill, so it stands alone and needs the standard library only.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

GROUPS: Final = ("openinference_instrumentor", "opentelemetry_instrumentor")
"""Entry points in the order of preference: of two for one library, the first is taken."""
SAYS: Final = "TIDEMILL_INSTRUMENT_SAYS"  # text, json, or nothing: the first process of a program says what it traces
WITHOUT: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"  # OpenTelemetry's own: names of entry points, with commas
_MODULES: Final = {
    "langchain": "langchain_core", "llama_index": "llama_index.core", "llama-index": "llama_index.core",
    "google_genai": "google.genai", "openai_agents": "agents", "autogen_agentchat": "autogen_agentchat",
    "bedrock": "boto3", "haystack": "haystack", "vertexai": "vertexai",
}  # fmt: skip
"""The module whose import begins an instrumentor, where it is not named like the entry point."""
CLIENTS: Final = {
    "openai": "openai", "anthropic": "anthropic", "langchain_core": "langchain", "llama_index.core": "llama-index",
    "google.genai": "google-genai", "mistralai": "mistralai", "groq": "groq", "litellm": "litellm", "boto3": "bedrock",
    "crewai": "crewai", "dspy": "dspy", "haystack": "haystack", "smolagents": "smolagents", "agents": "openai-agents",
    "autogen_agentchat": "autogen-agentchat", "agno": "agno", "instructor": "instructor", "mcp": "mcp",
}  # fmt: skip
"""Libraries that call models, and what the package of their instrumentor ends with."""
_NEEDED: Final = {"opentelemetry.sdk.resources": "Resource", "opentelemetry.sdk.trace": "TracerProvider"}
"""Of the SDK, with what each has once its import is over."""
_EXTRA: Final = re.compile(r"""^([A-Za-z0-9._-]+).*;.*extra\s*==\s*["']instruments(?:-any)?["']""")


@dataclass(frozen=True)
class Found:
    """One library, and what traces it: `by` is an installed package, the library itself, or empty; then `install` helps."""

    library: str
    module: str
    by: str = ""
    target: str = ""
    install: str = ""


def find() -> list[Found]:
    """The libraries here that call models or have an instrumentor, those that are traced first."""
    found: dict[str, Found] = {}
    without = {each.strip() for each in os.environ.get(WITHOUT, "").split(",")}
    for group in GROUPS:
        for point in importlib.metadata.entry_points(group=group):
            module = _MODULES.get(point.name, point.name)
            package = point.dist.name if point.dist is not None else ""
            if module not in found and point.name not in without and (_is_there(module) or _needs_one_of(point.dist)):
                found[module] = Found(point.name, module, package, point.value)
    if _is_there("pydantic_ai") and "pydantic_ai" not in without:
        found["pydantic_ai"] = Found("pydantic_ai", "pydantic_ai", "pydantic-ai", "pydantic_ai:Agent")
    missing = [
        Found(module.partition(".")[0], module, install=f"openinference-instrumentation-{suffix}")
        for module, suffix in CLIENTS.items()
        if module not in found and _is_there(module) and without.isdisjoint({module, suffix})
    ]
    return [*found.values(), *missing]


def install() -> None:
    """Begin each instrumentor when its library is imported, and the sending when OpenTelemetry is."""
    waiting = After()
    for module in ("opentelemetry.trace", *_NEEDED):
        waiting.add(module, _connect)
    found = find()
    for each in found:
        if each.target:
            waiting.add(each.module, _beginner(each))
    sys.meta_path.insert(0, waiting)
    say(found)


def say(found: Sequence[Found]) -> None:
    """Say once, in the first process of the program, what is traced and what could be."""
    form, os.environ[SAYS] = os.environ.get(SAYS, ""), ""
    if form == "json":
        sys.stderr.write(json.dumps({"event": "instrumented", "libraries": [asdict(each) for each in found]}) + "\n")
    elif form == "text":
        for line in lines(found):
            sys.stderr.write(f"tidemill instrument: {line}\n")
    sys.stderr.flush()


def lines(found: Iterable[Found]) -> list[str]:
    """The findings in words, a line each."""
    known = list(found)
    said = [f"{each.library} is traced by {each.by}" for each in known if each.by]
    said = said or ["no library is found that can be traced; tidemill.trace works all the same"]
    return said + [f"{each.library} is not traced: pip install {each.install}" for each in known if each.install]


class After(MetaPathFinder):
    """Calls back after the first import of a module."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._looking: set[str] = set()

    def add(self, module: str, action: Callable[[], None]) -> None:
        """Do it after `module` is imported; now, when it is already."""
        if module in sys.modules:
            action()
        else:
            self._waiting.setdefault(module, []).append(action)

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:  # noqa: ARG002  (the protocol's)
        """The module's own spec, whose loader calls back; None for a module that nobody waits for."""
        if fullname not in self._waiting or fullname in self._looking:
            return None
        self._looking.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking.discard(fullname)
        loader: Any = spec.loader if spec is not None else None
        execute: Callable[[ModuleType], None] | None = getattr(loader, "exec_module", None)
        if execute is None:
            return spec

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for action in self._waiting.pop(fullname, ()):
                action()

        try:
            loader.exec_module = exec_module
        except AttributeError:  # a built-in loader: the module is imported all the same
            return spec
        return spec


def _beginner(found: Found) -> Callable[[], None]:
    def begin() -> None:
        try:
            _connect()
            module, _, name = found.target.partition(":")
            target = getattr(importlib.import_module(module), name)
            if found.module == "pydantic_ai":
                target.instrument_all()
            else:
                target().instrument()
        except Exception as error:  # noqa: BLE001  (whatever an instrumentor does, the program goes on)
            sys.stderr.write(f"tidemill instrument: {found.library} is not traced: {type(error).__name__}: {error}\n")

    return begin


def _connect() -> None:
    global _is_connected  # noqa: PLW0603  (once a process)
    if _is_connected or any(name in sys.modules and not hasattr(sys.modules[name], has) for name, has in _NEEDED.items()):
        return  # amid the SDK's own import, whose end calls again
    _is_connected = True
    try:
        from tidemill.telemetry.instrument.connecting import connect  # noqa: PLC0415  (only when something is traced)

        connect()
    except Exception as error:  # noqa: BLE001  (the program goes on)
        hint = getattr(error, "hint", "") or "Install it there: pip install 'tidemill[tracing]'"
        sys.stderr.write(f"tidemill instrument: spans are not sent: {error}. {hint}\n")


_is_connected = False


def _is_there(module: str) -> bool:
    top, _, below = module.partition(".")
    try:
        if importlib.util.find_spec(top) is None:
            return False
        return not below or importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _needs_one_of(package: importlib.metadata.Distribution | None) -> bool:
    """Whether a library that an instrumentor names as its own is installed, or it names none."""
    named = [match[1] for each in (package.requires or () if package else ()) if (match := _EXTRA.match(each))]
    return not named or any(_is_installed(each) for each in named)


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
