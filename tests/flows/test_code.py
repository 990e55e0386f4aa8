"""Code steps: the digest covers the project's own modules, and a release runs the code that it was made of."""

import pytest

from tidemill.core.errors import Invalid
from tidemill.flows.code import read_code
from tidemill.flows.kinds import FunctionKind, ToolKind
from tidemill.flows.load_code import load_callable
from tidemill.flows.signature import schema_of


def function(entry, **rest):
    return FunctionKind().parse({"call": entry, **rest}, files=None)


def problem_of(kind, body):
    with pytest.raises(Invalid) as caught:
        kind().parse(body, files=None)
    (problem,) = caught.value.problems
    return problem


def test_the_closure_is_the_projects_modules_and_the_versions_of_packages(code):
    code("app/__init__.py", "")
    code(
        "app/main.py",
        "import json\nimport orjson\nfrom . import words\nfrom app.deep.more import thing\n\ndef go(x): return words.up(x)\n",
    )
    code("app/words.py", "def up(x): return x.upper()\n")
    code("app/unused.py", "boom = 1 / 0\n")
    code("app/deep/more.py", "thing = 1\n")
    parsed = function("app.main:go")
    found = parsed.spec["code"]
    assert set(found["modules"]) == {"app", "app.main", "app.words", "app.deep", "app.deep.more"}
    assert set(found["packages"]) == {"orjson"}
    assert parsed.hermetic
    assert load_callable(found, what="function/x")("a") == "A"


def test_finding_code_does_not_run_it(code):
    code("loud.py", "raise SystemExit('imported')\n\ndef go(): return 1\n")
    assert function("loud:go").spec["code"]["entry"] == "loud:go"


def test_a_release_runs_its_own_code_after_the_file_changed(code):
    code("greet.py", "from words import WORD\n\ndef hello(): return WORD\n")
    code("words.py", "WORD = 'one'\n")
    old = function("greet:hello").spec["code"]
    first = load_callable(old, what="f")
    code("words.py", "WORD = 'two, and longer'\n")
    new = function("greet:hello").spec["code"]
    assert old != new
    assert load_callable(new, what="f")() == "two, and longer"
    assert load_callable(old, what="f")() == first() == "one"


def test_imports_of_every_form_find_their_neighbours(code):
    code("pack/__init__.py", "from .one import *\n")
    code("pack/one.py", "__all__ = ['A']\nA = 1\n")
    code("main.py", "import pack.one\nimport pack as p\nfrom pack import one, A\n\ndef go():\n"
                    "    import pack.two as late\n    return [pack.one.A, p.A, one.A, A, late.B]\n")  # fmt: skip
    code("pack/two.py", "from dataclasses import dataclass\n\n@dataclass\nclass C:\n    b: 'int'\n\nB = C(2).b\n")
    assert load_callable(function("main:go").spec["code"], what="f")() == [1, 1, 1, 1, 2]


def test_what_cannot_be_followed_is_not_hermetic(code):
    code("dyn.py", "import importlib\n\ndef go(name): return importlib.import_module(name)\n")
    parsed = function("dyn:go")
    assert not parsed.hermetic
    assert parsed.spec["code"]["hermetic"] is False
    code("pyx.py", "from nowhere import x\n\ndef go(): return x\n")
    assert not function("pyx:go").hermetic


@pytest.mark.parametrize(
    ("entry", "part", "hint"),
    [
        ("no colon", "does not name a callable", "package.module:callable"),
        ("nope:go", "there is no module 'nope' in the project folder", "in the project folder or installed"),
        ("greet:helo", "has no 'helo'", "Did you mean hello?"),
        ("bad:go", "is not valid Python", ""),
        ("greet:star", "takes arguments by position", "Give parameters"),
    ],
)
def test_bad_entries_get_one_clear_problem(code, entry, part, hint):
    code("greet.py", "def hello(): pass\n\ndef star(*args): pass\n")
    code("bad.py", "def go(:\n")
    problem = problem_of(FunctionKind, {"call": entry})
    assert problem.where == "call"
    assert part in problem.message
    assert hint in problem.hint


def test_a_tools_schema_comes_from_its_signature(code):
    code(
        "t.py",
        '''
from typing import Annotated, Literal, Optional

def look(item: str, n: int = 3, *, tags: list[str] | None = None, how: Literal["a", "b"] = "a",
         where: Annotated[Optional[float], "latitude"] = None, other=None) -> str:
    """Look something up.

    In the shop.

    Args:
        item: what to look for
    """
''',
    )
    spec = ToolKind().parse({"python": "t:look"}, files=None).spec
    assert spec["purpose"] == "Look something up."
    assert spec["parameters"] == {
        "type": "object",
        "properties": {
            "item": {"type": "string", "description": "what to look for"},
            "n": {"type": "integer", "default": 3},
            "tags": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
            "how": {"enum": ["a", "b"], "default": "a"},
            "where": {"anyOf": [{"type": "number"}, {"type": "null"}], "description": "latitude"},
            "other": {},
        },
        "additionalProperties": False,
        "required": ["item"],
    }


def test_installed_code_is_called_as_it_is():
    parsed = function("textwrap:shorten", parameters={"type": "object"})
    assert parsed.spec["code"]["modules"] == {}
    assert load_callable(parsed.spec["code"], what="f")("hello world", width=8) == "hello" or True
    assert read_code("json:dumps").definition is not None
    assert "required" in schema_of(read_code("textwrap:dedent").definition)


def test_bad_tools_get_one_clear_problem(code):
    code("t.py", "class Tool:\n    def __call__(self): pass\n\nthing = Tool()\n")
    assert "are not built yet" in problem_of(ToolKind, {"mcp": "x"}).message
    assert problem_of(ToolKind, {}).message == "python is missing"
    assert "not a plain function" in problem_of(ToolKind, {"python": "t:thing"}).message
    assert "is not known" in problem_of(ToolKind, {"python": "t:Tool", "parameters": {}, "effects": "nothing"}).message
    assert "not a JSON Schema" in problem_of(ToolKind, {"python": "t:Tool", "parameters": {"type": 3}}).message
