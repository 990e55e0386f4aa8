"""Code steps: the digest covers the project's own modules, and a release runs the code that it was made of."""

import pytest

from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Invalid
from tidemill.flows.code import read_code
from tidemill.flows.kinds import FunctionKind, ToolKind
from tidemill.flows.load_code import load_callable
from tidemill.flows.lock_file import LOCK_FILES
from tidemill.flows.signature import schema_of


class Kept:
    """Where blobs are put."""

    def __init__(self):
        self.blobs = {}

    def put_blob(self, content):
        self.blobs[digest_bytes(content)] = content
        return digest_bytes(content)


def function(entry, **rest):
    return FunctionKind().parse({"call": entry, **rest}, files=Kept())


def problem_of(kind, body):
    with pytest.raises(Invalid) as caught:
        kind().parse(body, files=Kept())
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
    assert found["why"] == ["imports orjson, and there is no lock file"]
    assert [each.message for each in parsed.notes] == ["hermetic: false: imports orjson, and there is no lock file"]
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
    assert parsed.spec["code"]["why"] == ["dyn calls import_module with a name that is not written there"]
    code("pyx.py", "from nowhere import x\n\ndef go(): return x\n")
    assert function("pyx:go").spec["code"]["why"] == ["imports nowhere, which is not installed"]
    code("run.py", "def go(text): return eval(text)\n")
    assert function("run:go").spec["code"]["why"] == ["run calls eval"]


@pytest.mark.parametrize("name", LOCK_FILES)
def test_the_lock_file_is_part_of_the_digest(code, name):
    code("app/__init__.py", "")
    code("app/main.py", "import orjson\n\ndef go(): return 1\n")
    open_ = function("app.main:go")
    code(name, 'name = "orjson"\nversion = "1"\n')
    first = function("app.main:go")
    assert first.hermetic
    assert first.notes == ()
    assert first.spec["code"]["lock"]["file"] == name
    assert first.blobs == {"lock": first.spec["code"]["lock"]["digest"]}
    code(name, 'name = "orjson"\nversion = "2"\n')
    assert function("app.main:go").spec["code"] not in (first.spec["code"], open_.spec["code"])
    code(name, 'name = "orjson-extra"\n')
    assert function("app.main:go").spec["code"]["why"] == [f"imports orjson, which {name} does not have"]


def test_the_lock_file_of_a_project_with_sources_below_it_is_found(code):
    code("pyproject.toml", "[project]\n")
    code("uv.lock", 'name = "orjson"\n')
    code("deep/pack/__init__.py", "")
    code("main.py", "import deep.pack.more\n\ndef go(): return 1\n")
    code("deep/pack/more.py", "import orjson\n")
    assert function("main:go").hermetic


def test_without_packages_no_lock_file_matters(code):
    code("uv.lock", "one")
    code("plain.py", "import json\n\ndef go(): return 1\n")
    before = function("plain:go")
    code("uv.lock", "two")
    assert function("plain:go") == before
    assert "lock" not in before.spec["code"]


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"main.py": "import a.b.c\n", "a/b/c.py": ""}, {"a", "a.b", "a.b.c"}),  # namespace packages
        ({"main.py": "import one\n", "one.py": "import two\n", "two.py": "import one\n"}, {"one", "two"}),  # a ring
        ({"main.py": "from p.q import r\n", "p/__init__.py": "", "p/q/__init__.py": "", "p/q/r.py": "from ...p import s\n",
          "p/s.py": ""}, {"p", "p.q", "p.q.r", "p.s"}),
        ({"main.py": "try:\n    import fast\nexcept ImportError:\n    import slow as fast\n", "slow.py": "", "fast.py": ""},
         {"fast", "slow"}),
        ({"main.py": "import importlib\nhelp = importlib.import_module('late.more')\n", "late/__init__.py": "",
          "late/more.py": "import further\n", "further.py": ""}, {"late", "late.more", "further"}),
        ({"main.py": "x = __import__('late')\n", "late.py": ""}, {"late"}),
        ({"main.py": "import p\n", "p/__init__.py": "from importlib import import_module\nimport_module('.q', __package__)\n",
          "p/q.py": ""}, {"p", "p.q"}),
        ({"main.py": "from p import *\n", "p/__init__.py": "__all__ = ['q']\n", "p/q.py": ""}, {"p", "p.q"}),
        ({"main.py": "class A:\n    def f(self):\n        from late import x\n        return x\n", "late.py": "x = 1\n"},
         {"late"}),
    ],
)  # fmt: skip
def test_the_closure_follows_every_form_of_import(code, files, wanted):
    for name, text in files.items():
        code(name, text + ("\ndef go(): return 1\n" if name == "main.py" else ""))
    parsed = function("main:go")
    assert set(parsed.spec["code"]["modules"]) == {"main", *wanted}
    assert parsed.hermetic
    assert load_callable(parsed.spec["code"], what="f")() == 1


def test_what_is_imported_by_name_is_the_releases_own(code):
    code("by_name.py", "import importlib\n\ndef go(): return importlib.import_module('word_of').WORD\n")
    code("word_of.py", "WORD = 'one'\n")
    old = function("by_name:go").spec["code"]
    code("word_of.py", "WORD = 'two, and longer'\n")
    assert load_callable(function("by_name:go").spec["code"], what="f")() == "two, and longer"
    assert load_callable(old, what="f")() == "one"


def test_a_change_anywhere_in_the_closure_is_another_digest(code):
    code("top.py", "import middle\n\ndef go(): return middle.go()\n")
    code("middle.py", "from bottom import go\n")
    code("bottom.py", "def go(): return 1\n")
    before = function("top:go").spec
    code("bottom.py", "def go(): return 22\n")
    assert function("top:go").spec != before


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
    spec = ToolKind().parse({"python": "t:look"}, files=Kept()).spec
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
