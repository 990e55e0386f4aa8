from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.errors import Invalid
from tidemill.tune.course import rows_of_step
from tidemill.tune.packing import Tokens, pack_rows, packs
from tidemill.tune.template import check_template, conversation_tokens

ids = st.lists(st.integers(0, 3), min_size=2, max_size=12)


@st.composite
def token_rows(draw):
    made = draw(st.lists(ids, min_size=1, max_size=6))
    return [Tokens(ids=tuple(each), learnt=tuple(at > 0 and draw(st.booleans()) for at in range(len(each)))) for each in made]


@given(token_rows())
def test_every_token_sees_in_a_pack_what_it_would_see_alone(rows):
    pack = pack_rows(rows)
    for number, row in enumerate(rows):
        mine = [at for at, owner in enumerate(pack.owners) if owner in {0, number + 1}]
        assert [pack.ids[at] for at in mine] == list(row.ids)
        assert [pack.positions[at] for at in mine] == list(range(len(row.ids)))
        learnt = [(mine.index(place), token) for place, token, owner in pack.answers if owner == number]
        assert learnt == [(at - 1, row.ids[at]) for at in range(1, len(row.ids)) if row.learnt[at]]


@given(token_rows(), st.integers(2, 20))
def test_packs_hold_every_row_once_and_stay_short(rows, longest):
    found = list(packs(rows, longest=longest))
    assert [at for group, _ in found for at in group] == list(range(len(rows)))
    assert all(len(pack.ids) <= longest or len(group) == 1 for group, pack in found)


@given(token_rows(), st.integers(2, 20))
def test_pairs_are_never_parted(rows, longest):
    pairs = [each for row in rows for each in (row, row)]
    found = list(packs(pairs, longest=longest, together=2))
    assert [at for group, _ in found for at in group] == list(range(len(pairs)))
    assert all(group[0] % 2 == 0 and len(group) % 2 == 0 for group, _ in found)


def test_a_common_beginning_is_there_once():
    rows = [Tokens(ids=(1, 2, 3, 4 + each), learnt=(False, False, False, True)) for each in range(5)]
    assert len(pack_rows(rows).ids) == 3 + 5


def test_an_epoch_has_every_row_once_in_an_order_of_the_seed():
    steps = [list(rows_of_step(each, rows=10, batch=4, seed=1)) for each in range(5)]
    seen = [row for step in steps for row in step]
    assert sorted(seen[:10]) == sorted(seen[10:20]) == list(range(10))
    assert seen[:10] != seen[10:20]
    assert steps == [list(rows_of_step(each, rows=10, batch=4, seed=1)) for each in range(5)]
    assert steps[0] != list(rows_of_step(0, rows=10, batch=4, seed=2))


def render(messages, asks):
    text = "".join(f"<{each['role']}>{each['content']}|" for each in messages)
    return text + ("<assistant>" if asks else "")


def tokenize(text):
    return [ord(each) for each in text]


def made(longest=100):
    prompt = [{"role": "user", "content": "hi"}]
    return conversation_tokens(prompt, "yes", render=render, tokenize=tokenize, end="|", longest=longest)


def test_only_the_answer_and_its_end_are_learnt():
    tokens = made()
    said = "".join(chr(each) for each, learnt in zip(tokens.ids, tokens.learnt, strict=True) if learnt)
    assert "".join(map(chr, tokens.ids)) == "<user>hi|<assistant>yes|"
    assert said == "yes|"


def test_a_row_is_cut_at_its_end_but_never_to_no_answer():
    assert "".join(map(chr, made(longest=22).ids)).endswith("<assistant>ye")
    with pytest.raises(Invalid, match="the prompt alone has 20 tokens"):
        made(longest=20)


def check(**changes):
    messages = [{"role": "user", "content": "hi"}]
    text = render(messages, asks=True) if "text" not in changes else changes["text"]
    one = {"messages": messages, "text": text, "tokens": tokenize(text), **changes}
    check_template([json.loads(json.dumps(one))], render=render, tokenize=tokenize)


def test_a_template_that_the_engine_reads_otherwise_is_refused():
    check()
    with pytest.raises(Invalid, match="the trainer writes '<user>hi"):
        check(text="<user>hi |<assistant>")
    with pytest.raises(Invalid, match="other tokens"):
        check(tokens=[1, 2, 3])
