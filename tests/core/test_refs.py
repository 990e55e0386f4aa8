from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.errors import Invalid
from tidemill.core.refs import KINDS, Ref, check_alias, check_name, is_digest, is_ref, parse_ref

DIGEST = "sha256:" + "0f" * 32
first = st.sampled_from(string.ascii_lowercase + string.digits)
rest = st.text(string.ascii_lowercase + string.digits + "._-", max_size=127)
names = st.builds(lambda a, b: a + b, first, rest)
numbers = st.integers(1, 10**9).map("v{}".format)
digests = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format)
refs = st.builds(
    Ref,
    kind=st.sampled_from(sorted(KINDS)),
    name=names,
    version=st.none() | numbers | digests | names,
    project=st.none() | names,
)


@given(refs)
def test_what_is_written_is_read_back(ref):
    assert parse_ref(str(ref)) == ref
    assert is_ref(str(ref))


@given(refs)
def test_a_version_is_exactly_one_of_number_alias_digest(ref):
    assert sum(each is not None for each in (ref.number, ref.alias, ref.digest)) == (ref.version is not None)


@given(st.text(max_size=200))
def test_any_text_is_read_back_or_refused(text):
    try:
        ref = parse_ref(text)
    except Invalid:
        return
    assert str(ref) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "prompt",
        "prompt/",
        "/answer",
        "Prompt/answer",
        "prompt/Answer",
        "prompt/-a",
        "prompt/a b",
        "prompt/a@",
        "prompt/a@v1@v2",
        "prompt/a\n",
        "prompt/" + "a" * 129,
        "a:b:prompt/x",
        "prompt/a@sha256:12",
        "prompt/a@sha256:" + "g" * 64,
        "prompt/../a",
        "prompt/a@x:y",
    ],
)
def test_what_is_not_a_reference_is_refused(text):
    with pytest.raises(Invalid) as caught:
        parse_ref(text)
    assert "kind/name" in caught.value.hint
    assert not is_ref(text)


def test_a_bare_name_gets_the_kind_that_is_needed():
    assert parse_ref("answer@v3", kind="prompt") == Ref(kind="prompt", name="answer", version="v3")
    with pytest.raises(Invalid, match="is a model, but a prompt is needed"):
        parse_ref("model/a", kind="prompt")


def test_parts_of_a_reference():
    ref = parse_ref(f"shop:prompt/answer@{DIGEST}")
    assert (ref.project, ref.bare, ref.digest) == ("shop", "prompt/answer", DIGEST)
    assert str(ref.at("v2")) == "shop:prompt/answer@v2"
    assert parse_ref("prompt/a@v12").number == 12
    assert parse_ref("prompt/a@v0").alias == "v0"
    assert not is_digest(DIGEST.upper())


def test_names_and_aliases_are_checked():
    assert check_name("a.b-c_1") == "a.b-c_1"
    assert check_alias("production") == "production"
    for bad in ("v3", "UP", "", "a/b"):
        with pytest.raises(Invalid):
            check_alias(bad)
