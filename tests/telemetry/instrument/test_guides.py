"""Each guide, with the real library, against a real server and its test model: the trace has the tree that the guide shows."""

from __future__ import annotations

import contextlib
import re
import sys

import pytest

from telemetry.instrument.messages_server import messages_server
from telemetry.instrument.served import TIDEMILL, blocks, serving, write_project

_STEM = re.compile(r"^(?P<stem>(?:[│ ]  )*[├└]─ )?(?P<name>\S.*?)  ")
_FAKE = """
kind: model
name: fake
provider: test
script:
  - {when: "context manager", reply: "Files close by themselves."}
"""
GUIDES = {
    "openai": ("answer", ("openai",), {"answer": ("agent", "It is sunny in Paris.")}),
    "anthropic": ("summarise", ("anthropic",), {"summarise": ("chain", "Files close by themselves.")}),
    "langchain": ("RunnableSequence", ("langchain",), {"ChatOpenAI": ("llm", None), "Shelf": ("retriever", None)}),
    "llamaindex": ("RetrieverQueryEngine.query", ("llama_index",), {"Server.complete": ("llm", None)}),
    "pydantic-ai": ("invoke_agent guide", ("pydantic_ai",), {"execute_tool weather": ("tool", None)}),
}


def shown_tree(page):
    """The names and depths that the guide shows."""
    (text,) = [body for _, body in blocks(page) if "traces show" in body]
    found = []
    for line in text.splitlines()[1:]:
        match = _STEM.match(line)
        if match and (match["stem"] or not found) and not line.lstrip("│ ").startswith('"'):
            found.append((len(match["stem"] or "") // 3, match["name"]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("library", GUIDES)
def test_the_guide_works(library, tmp_path) -> None:
    root, traced, expected = GUIDES[library]
    page = f"trace-{library}.md"
    write_project(tmp_path, page)
    console = next(body for _, body in blocks(page) if "tidemill instrument" in body)
    command = next(line for line in console.splitlines() if line.startswith("$ tidemill instrument"))
    options = (
        command.removeprefix("$ tidemill instrument ").removesuffix(" -- python app.py").split()
        if "--without" in command
        else []
    )
    with serving(tmp_path) as served, contextlib.ExitStack() as stack:
        environ = {}
        if library == "anthropic":
            (tmp_path / "tidemill" / "fake.yaml").write_text(_FAKE)
            url = stack.enter_context(messages_server(served, "model/fake"))
            environ = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "x"}
        served.run(TIDEMILL, "apply", "--yes")
        said = served.run(TIDEMILL, "instrument", "--quiet", *options, "--", sys.executable, "app.py", **environ)
        assert said.strip() == console.splitlines()[-1], "what the guide says the program prints"
        items = served.json("traces", "list")["items"]
        (summary,) = [each for each in items if each["name"] == root]
        trace = served.json("traces", "show", summary["id"])
    assert [(each["depth"], each["name"]) for each in trace["spans"]] == shown_tree(page)
    spans = {each["name"]: each for each in trace["spans"]}
    for name, (kind, output) in expected.items():
        assert spans[name]["kind"] == kind
        assert output is None or spans[name]["output"] == output
    calls = [each for each in trace["spans"] if each["kind"] == "llm" and each["usage"]["input_tokens"]]
    assert calls
    assert all(each["model"] for each in calls)
    assert trace["usage"]["output_tokens"] > 0
    assert (trace["user"], bool(trace["session"])) == ("ana", True)
    assert {each["user"] for each in trace["spans"] if each["dialect"]} == {"ana"} if "user" in trace["spans"][0] else True
    assert traced


def test_every_library_of_the_guides_is_traced_here() -> None:
    from tidemill.telemetry.instrument.bootstrap import hooks

    traced = {each.library for each in hooks.find() if each.by}
    assert {name for _, names, _ in GUIDES.values() for name in names} <= traced
