from __future__ import annotations

import pytest

from models.calls import MemoryFiles
from tidemill.core.errors import Invalid
from tidemill.models.kinds import ConnectionKind, EmbedderKind, ModelKind

FILES = MemoryFiles(
    {
        "s.jsonl": b'\xef\xbb\xbf{"when": "a", "reply": "b"}\n\n{"reply": "c"}\n',
        "bad.jsonl": b'{"reply": "a"}\n{oops\n{"when": "("}\n',
    }
)


def model(**body):
    return ModelKind().parse(body, files=FILES)


def problems(**body):
    with pytest.raises(Invalid) as caught:
        model(**body)
    return [(each.where, each.message, each.hint) for each in caught.value.problems]


def test_a_model_is_canonical_and_its_connection_is_a_name():
    parsed = model(provider="openai", model="gpt-4o-mini", params={"temperature": 0}, connection="connection/azure")
    assert parsed.spec == {"provider": "openai", "model": "gpt-4o-mini", "params": {"temperature": 0}, "connection": "azure"}
    assert parsed.references == {}
    assert parsed.spec == model(**parsed.spec).spec


def test_local_models_name_what_they_are():
    assert model(provider="local").spec["model"]
    assert EmbedderKind().parse({"provider": "local"}, files=FILES).spec["model"]
    assert "model" not in model(provider="test").spec


def test_a_script_is_read_into_the_spec():
    rows = [{"when": "a", "reply": "b"}, {"reply": "c"}]
    assert model(provider="test", script="s.jsonl").spec["script"] == rows
    assert model(provider="test", script=rows).spec["script"] == rows
    assert model(provider="test", script='{"when": "a", "reply": "b"}\n{"reply": "c"}').spec["script"] == rows


def test_every_mistake_of_a_script_has_its_line():
    found = problems(provider="test", script="bad.jsonl")
    assert [where for where, _, _ in found] == ["bad.jsonl:2", "bad.jsonl:3"]
    assert "no file" in problems_of_missing()


def problems_of_missing():
    with pytest.raises(Invalid) as caught:
        model(provider="test", script="nope.jsonl")
    return caught.value.message


@pytest.mark.parametrize(
    ("body", "where", "words"),
    [
        ({"provider": "test", "modle": "x"}, "modle", "Did you mean model?"),
        ({"provider": "antropic", "model": "x"}, "provider", "Did you mean anthropic?"),
        ({"provider": "unheard-of", "model": "x"}, "provider", "provider: openai"),
        ({"model": "x"}, "provider", "missing"),
        ({"provider": "openai"}, "model", "missing"),
        ({"provider": "openai", "model": "x", "reply": "y"}, "reply", "only the provider test"),
        ({"provider": "openai", "model": "x", "params": {"temperature": "hot"}}, "params.temperature", "'hot'"),
        ({"provider": "openai", "model": "x", "params": {"temperature": 3}}, "params.temperature", "from 0 to 2"),
        ({"provider": "openai", "model": "x", "params": {"max_tokens": 1.5}}, "params.max_tokens", "whole number"),
        ({"provider": "openai", "model": 7}, "model", "7"),
        ({"provider": "openai", "model": "x", "connection": "prompt/x"}, "connection", "prompt"),
        ({"provider": "test", "fail_rate": 2}, "fail_rate", "less than or equal to 1"),
        ({"provider": "test", "script": [{"replay": "x"}]}, "script.0", "Did you mean reply?"),
        ({"provider": "test", "script": [{"tool_calls": [{"arguments": {}}]}]}, "script.0", "name"),
        ({"provider": "test", "script": []}, "script", "no rows"),
    ],
)
def test_a_mistake_is_named_with_its_place(body, where, words):
    found = problems(**body)
    assert any(each[0] == where and words in f"{each[1]} {each[2]}" for each in found), found


def test_a_misspelt_parameter_is_noted_but_passed_on():
    parsed = model(provider="openai", model="x", params={"temprature": 1, "some_vendor_switch_xyz": True})
    assert [(note.where, note.hint) for note in parsed.notes] == [("params.temprature", "Did you mean temperature?")]


def connection(**body):
    return ConnectionKind().parse(body, files=FILES).spec


def test_a_connection_keeps_references_to_secrets_only():
    spec = connection(
        provider="openai", base_url="http://localhost:11434/v1", api_key="env:KEY", headers={"x-org": "a", "api-key": "env:K"}
    )
    assert spec == {
        "provider": "openai", "base_url": "http://localhost:11434/v1", "api_key": "env:KEY",
        "headers": {"x-org": "a", "api-key": "env:K"}, "timeout": 60.0, "allow_private": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"provider": "openai", "api_key": "sk-secret-text"}, "api_key"),
        ({"provider": "openai", "headers": {"Authorization": "Bearer sk-secret-text"}}, "headers.Authorization"),
        ({"provider": "openai", "base_url": "localhost:11434"}, "base_url"),
        ({"provider": "openai", "base_url": "ftp://x"}, "base_url"),
        ({"provider": "openai", "base_url": "http://user:sk-secret-text@x"}, "base_url"),
        ({"provider": "openai", "base_url": "http://x:99999999/v1"}, "base_url"),
        ({"provider": "openai", "timeout": 0}, "timeout"),
    ],
)
def test_a_connection_that_cannot_work_is_refused_without_showing_secrets(body, where):
    with pytest.raises(Invalid) as caught:
        connection(**body)
    assert caught.value.problems[0].where == where
    assert "sk-secret-text" not in "".join(each.as_line() for each in caught.value.problems)


def test_a_difference_is_told_by_value():
    old = model(provider="test", params={"temperature": 0.2, "seed": 1}).spec
    new = model(provider="test", params={"temperature": 0.7}, reply="x").spec
    assert list(ModelKind().diff(old, new)) == ["params.temperature 0.2 -> 0.7", "- params.seed 1", "+ reply x"]
