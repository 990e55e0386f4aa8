"""Prompts: what is refused at apply time, and what text a model sees."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.errors import Invalid
from tidemill.core.parts import Message
from tidemill.prompts import PromptKind, render
from tidemill.prompts.mustache import parse


class NoFiles:
    def read(self, path):
        raise Invalid(path)

    def list(self, folder):
        raise Invalid(folder)

    def put_blob(self, content):
        raise AssertionError

    def has_blob(self, digest):
        return False


def spec_of(body):
    return PromptKind().parse(body, files=NoFiles()).spec


def problems_of(body):
    with pytest.raises(Invalid) as caught:
        spec_of(body)
    return [(each.where, each.message, each.hint) for each in caught.value.problems]


def test_a_value_is_neither_escaped_nor_rendered_again():
    spec = spec_of({"text": "Q: {{question}} A:"})
    assert render(spec, {"question": "<b> & {{secret}}"}) == (Message.of("user", "Q: <b> & {{secret}} A:"),)


def test_retrieved_passages_are_numbered_for_citing():
    spec = spec_of({"text": "{{context}}", "variables": {"context": "string"}})
    hits = [
        {"id": "a#0", "document": "a.md", "text": "Alpha.", "score": 1.0, "headings": ["Top", "Sub"]},
        {"id": "b#0", "document": "b.md", "text": "Beta.", "score": 0.5, "headings": []},
    ]
    assert render(spec, {"context": hits})[0].text == "[1] Top > Sub\nAlpha.\n\n[2] b.md\nBeta."
    assert render(spec, {"context": []})[0].text == ""


def test_examples_stand_between_system_and_user():
    spec = spec_of(
        {
            "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "{{x}}"}],
            "examples": [{"input": "1", "output": {"a": 1}}],
        }
    )
    assert [(each.role, each.text) for each in render(spec, {"x": 2})] == [
        ("system", "S"),
        ("user", "1"),
        ("assistant", '{"a":1}'),
        ("user", "2"),
    ]


def test_an_undeclared_variable_is_named_with_its_place_and_the_nearest_right_name():
    body = {"messages": [{"role": "user", "content": "{{contxt}}"}], "variables": {"question": "string", "context": "string"}}
    assert problems_of(body) == [
        (
            "messages.0.content",
            "{{contxt}} is not a variable of this prompt",
            "did you mean {{context}}?  Variables here: context, question",
        )
    ]


@pytest.mark.parametrize(
    ("body", "where", "part"),
    [
        ({"text": "x", "txt": "x"}, "txt", "unknown key 'txt'"),
        ({}, "", "either text or messages"),
        ({"text": 3}, "text", "needs text, not a whole number"),
        ({"text": "{{a"}, "text", "never closed"),
        ({"text": "{{#a}}x"}, "text", "never closed"),
        ({"text": "{{/a}}"}, "text", "closes what is not open"),
        ({"text": "{{> part}}"}, "text", "not supported"),
        ({"text": "{{a b}}"}, "text", "does not name anything"),
        ({"text": "x", "format": "jinja2"}, "format", "not known"),
        ({"text": "{% if %}", "format": "jinja"}, "text", "not a Jinja template"),
        ({"text": "x", "variables": {"a": "strin"}}, "variables.a", "not a type"),
        ({"text": "x", "variables": {"a": {"type": "integer", "default": "x"}}}, "variables.a.default", "not a whole number"),
        ({"text": "x", "output_schema": {"type": "objekt"}}, "output_schema", "not a JSON Schema"),
        ({"text": "x", "model": "prompt/y"}, "model", "a model is needed"),
        ({"text": "x", "examples": [{"input": "a"}]}, "examples.0", "output is missing"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role", "not known"),
        ({"messages": []}, "messages", "empty"),
    ],
)
def test_bad_prompts_get_one_clear_problem(body, where, part):
    found = problems_of(body)
    assert len(found) == 1
    assert found[0][0] == where
    assert part in found[0][1]


def test_values_are_checked_and_the_input_is_named():
    spec = spec_of({"text": "{{n}}", "variables": {"n": {"type": "integer", "choices": [1, 2]}}})
    assert render(spec, {"n": "2"})[0].text == "2"
    for values, part in [({}, "needs the input 'n'"), ({"n": "x"}, "whole number"), ({"n": 3}, "is 3"), ({"m": 1}, "no input")]:
        with pytest.raises(Invalid, match=part):
            render(spec, values)


def test_jinja_runs_in_a_sandbox():
    spec = spec_of({"text": "{% for x in xs %}{{ x }};{% endfor %}", "format": "jinja"})
    assert render(spec, {"xs": ["<a>", 1, None]})[0].text == "<a>;1;;"
    escape = spec_of({"text": "{{ x.__class__.__mro__ }}", "format": "jinja"})
    with pytest.raises(Invalid, match="cannot be rendered"):
        render(escape, {"x": "a"})


def test_sections_loop_and_test():
    text = "{{#items}}\n- {{name}}{{^last}},{{/last}}\n{{/items}}\n{{^items}}none{{/items}}"
    template = parse(text)
    assert template.render({"items": [{"name": "a"}, {"name": "b", "last": True}]}) == "- a,\n- b\n"
    assert template.render({"items": []}) == "none"


def test_the_order_of_variables_is_part_of_the_digest():
    one = spec_of({"text": "{{a}}{{b}}", "variables": {"a": "string", "b": "string"}})
    other = spec_of({"text": "{{a}}{{b}}", "variables": {"b": "string", "a": "string"}})
    assert one != other


def test_diff_shows_words():
    old, new = spec_of({"text": "Answer from the context."}), spec_of({"text": "Answer from the passages."})
    assert list(PromptKind().diff(old, new)) == ["Answer from the [-context-]{+passages+}."]


def test_an_image_part_takes_its_url_from_a_variable():
    content = [{"type": "text", "text": "What is this?"}, {"type": "image", "media_type": "image/png", "url": "{{url}}"}]
    spec = spec_of({"messages": [{"role": "user", "content": content}]})
    (message,) = render(spec, {"url": "https://example.org/a.png"})
    assert message.parts[1].url == "https://example.org/a.png"


@given(st.text(), st.text())
def test_any_value_stands_in_the_text_as_it_is(value, around):
    around = around.replace("{", "(")
    assert parse(around + "{{x}}").render({"x": value}) == around + value


@given(st.text(alphabet="{}#^/!>.ab \n", max_size=40))
def test_any_text_is_a_template_or_one_clear_error(text):
    with contextlib.suppress(Invalid):
        assert isinstance(parse(text).render({"a": "x", "b": [1, 2]}), str)
