"""Every route that changes something leaves a line in the audit: the code is followed from there to `audit.append`."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import tidemill
from access.test_matrix import BELOW, BESIDE
from tidemill.api.control import ROUTES as ROUTES_OF
from tidemill.api.rights import right_of

ROOT = Path(tidemill.__file__).parent
_PARTS = {
    "jobs": ("tidemill.jobs.engine", "Jobs"),
    "pipelines": ("tidemill.pipelines.service", "Pipelines"),
    "policies": ("tidemill.govern.policy", "Policies"),
    "indexes": ("tidemill.data.index", "Indexes"),
    "entry": ("tidemill.api.entry", "Entry"),
}
NOTHING_CHANGES = {
    "POST /plan": "says what an apply would change",
    "POST /blobs:missing": "asks which contents are to be sent",
    "POST /tunes:estimate": "says what a run would take",
}
RECORDED_ELSEWHERE = {
    "PUT /blobs/{digest}": "content by its digest, which nothing names before an apply, which has its line",
    "POST /runs": "a run is a trace",
    "POST /pull": "content by its digest, as it is; what is written is told by POST /pull:written",
}


@cache
def module(name):
    """The module's tree, what its names mean, and its functions and methods."""
    path = ROOT.parent / Path(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(file.read_text("utf-8"))
    names, functions = {}, {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tidemill"):
            for each in node.names:
                names[each.asname or each.name] = (node.module, each.name)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions[node.name] = node
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    functions[f"{node.name}.{inner.name}"] = inner
    return names, functions


def is_module(name):
    path = ROOT.parent / Path(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def named_in(node, at, inside):
    """The functions of ours that a piece of code names: called now, or handed on to be called."""
    names, functions = module(at)
    for each in (inner for statement in node.body for inner in ast.walk(statement)):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load):
            if each.id in functions:
                yield at, each.id
            elif each.id in names and not is_module(".".join(names[each.id])):
                yield names[each.id]
        elif isinstance(each, ast.Attribute):
            yield from attributes_of(each, at, inside)


def attributes_of(each, at, inside):
    """What `x.name` may be: of a module, of a part of the platform, or of a class of this module."""
    names, functions = module(at)
    of = each.value
    if isinstance(of, ast.Attribute) and of.attr in _PARTS:
        where, kind = _PARTS[of.attr]
        yield where, f"{kind}.{each.attr}"
    elif isinstance(of, ast.Name) and of.id == "self":
        yield at, f"{inside}.{each.attr}"
    elif isinstance(of, ast.Name) and of.id in names:
        yield ".".join(names[of.id]), each.attr
    elif isinstance(of, ast.Name | ast.Call):
        yield from ((at, method) for method in functions if method.endswith(f".{each.attr}"))


def is_audited(at, name):
    """Whether what is done there comes to `audit.append`."""
    seen, todo = set(), [(at, name)]
    while todo:
        at, name = todo.pop()
        if (at, name) == ("tidemill.store.audit", "append"):
            return True
        if (at, name) in seen or not at.startswith("tidemill.") or not is_module(at):
            continue
        seen.add((at, name))
        node = module(at)[1].get(name) or module(at)[1].get(f"{name}.__init__")
        if node is not None:
            todo += named_in(node, at, name.partition(".")[0] if "." in name else "")
    return False


def handlers():
    for each in ROUTES_OF.known:
        for method in each.methods - {"HEAD", "GET"}:
            yield method, each.documented_path, each.route.endpoint


def changes():
    stated = [*BELOW, *BESIDE]
    for method, path, handler in sorted(handlers(), key=lambda each: each[:2]):
        assert (method, path) in stated
        below = f"{method} {path.removeprefix('/api/v1/projects/{project}')}"
        if right_of(method, path) != "read" and below not in {*NOTHING_CHANGES, *RECORDED_ELSEWHERE}:
            yield pytest.param(handler, id=below)


@pytest.mark.parametrize("handler", [*changes()])
def test_every_route_that_changes_something_is_audited(handler):
    assert is_audited(handler.__module__, handler.__name__)


def test_the_exceptions_are_routes_and_looking_finds_what_is_missing():
    known = {f"{method} {path.removeprefix('/api/v1/projects/{project}')}" for method, path in BELOW}
    assert {*NOTHING_CHANGES, *RECORDED_ELSEWHERE} <= known
    assert not is_audited("tidemill.api.artifacts", "list_artifacts")
    assert is_audited("tidemill.store.access", "create_key")
