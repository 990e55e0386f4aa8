from __future__ import annotations

import pytest

from tidemill.core.errors import Invalid
from tidemill.core.records import Sample
from tidemill.data.alike import same_words
from tidemill.prompts.kinds import PromptKind
from tidemill.tune.leaks import find_leaks, refuse_leaks
from tidemill.tune.rows import prepare_rows


def example(number: int, *, said: str | None = None, answer: object = None) -> Sample:
    text = said or f"question {number}"
    return Sample(id=str(number), input=text, reference=answer or f"answer {number}", row={"input": text})


def conversation(number: int, *turns: tuple[str, str]) -> Sample:
    messages = [{"role": role, "content": content} for role, content in turns]
    return Sample(id=str(number), input=messages, row={"messages": messages})


def pair(number: int, **row: object) -> Sample:
    content = {"prompt": f"question {number}", "chosen": f"good {number}", "rejected": "bad", **row}
    return Sample(id=str(number), input=content["prompt"], row=content)


def many(make=example, rows: int = 60, **options):
    return [make(number, **options) for number in range(rows)]


def refused(samples, **options) -> Invalid:
    with pytest.raises(Invalid) as caught:
        prepare_rows(samples, **{"method": "sft", **options})
    return caught.value


def test_input_and_reference_become_a_question_and_its_answer():
    prepared = prepare_rows(many(), method="sft")
    row = prepared.rows[3]
    assert [(each.role, each.text) for each in row.prompt] == [("user", "question 3")]
    assert row.answer == "answer 3"
    assert prepared.notes == ()


def test_the_prompt_of_the_application_is_filled_as_it_will_be():
    prompt = PromptKind().parse(
        {"messages": [{"role": "system", "content": "Answer."}, {"role": "user", "content": "Q: {{question}}"}]}, files=None
    )
    row = prepare_rows(many(), method="sft", prompt=prompt.spec).rows[0]
    assert [(each.role, each.text) for each in row.prompt] == [("system", "Answer."), ("user", "Q: question 0")]


def test_conversations_end_with_what_is_learnt():
    turns = (("system", "be brief"), ("user", "hi"), ("assistant", "hello"), ("user", "bye"), ("assistant", "so long"))
    samples = [conversation(each, *turns[:3], ("user", f"bye {each}"), ("assistant", f"so long {each}")) for each in range(8)]
    row = prepare_rows(samples, method="sft").rows[1]
    assert [each.role for each in row.prompt] == ["system", "user", "assistant", "user"]
    assert (row.asked, row.answer) == ("bye 1", "so long 1")


def test_pairs_may_be_texts_or_conversations():
    whole = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}]
    samples = [pair(0, prompt=whole[:1], chosen=whole, rejected=[{"role": "assistant", "content": "bad"}]), *many(pair)]
    rows = prepare_rows(samples, method="dpo").rows
    assert (rows[0].asked, rows[0].answer, rows[0].worse) == ("q", "good", "bad")
    assert (rows[1].asked, rows[1].answer, rows[1].worse) == ("question 0", "good 0", "bad")


def test_three_rows_are_refused_and_few_are_noted():
    assert "3 rows are too few to learn from; the least is 8" in str(refused(many(rows=3)))
    assert "20 rows are few" in prepare_rows(many(rows=20), method="sft").notes[0]


def test_one_label_only_is_refused():
    assert "every row has the same answer, 'refund'" in str(refused([example(each, answer="refund") for each in range(60)]))


@pytest.mark.parametrize(
    ("sample", "method", "said"),
    [
        (Sample(id="x7", input="q", reference=None, row={}), "sft", "row x7: reference is missing or empty"),
        (Sample(id="x7", input="q", reference="  ", row={}), "sft", "row x7: reference is missing or empty"),
        (Sample(id="x7", input=3, reference="a", row={}), "sft", "row x7: the input is not text"),
        (conversation(7, ("user", "hi")), "sft", "row 7: messages do not end with the assistant's answer"),
        (Sample(id="x7", input="q", row={"messages": "hi"}), "sft", "row x7: messages are not a list"),
        (conversation(7, ("robot", "hi"), ("assistant", "a")), "sft", "row 7: the role 'robot' is not known"),
        (pair(7, rejected="good 7"), "dpo", "row 7: chosen and rejected are the same"),
        (pair(7, chosen=None), "dpo", "row 7: chosen is missing or empty"),
    ],
)
def test_a_row_of_the_wrong_form_is_named(sample, method, said):
    error = refused([*many(pair if method == "dpo" else example), sample], method=method)
    assert [said in each.message for each in error.problems] == [True]
    assert error.message == "1 of 61 rows cannot be trained on"


def test_contradictions_and_repeats_are_noted():
    samples = [*many(), example(90, said="question 1", answer="another"), example(91, said="question 2", answer="answer 2")]
    notes = prepare_rows(samples, method="sft").notes
    assert notes == ("the same input has different answers in rows 1, 90", "1 rows repeat another row")


def test_a_row_that_also_judges_is_found_however_it_is_written():
    held = [example(1, said="Where is my  card?"), example(2, said="Send me money")]
    training = [example(10, said="where is MY card"), example(11, said="something else"), *many()]
    leaks = find_leaks(training, {"dataset/held": held})
    assert [(each.row, each.dataset, each.judging) for each in leaks] == [("10", "dataset/held", "1")]
    with pytest.raises(Invalid, match="1 training rows also stand in dataset/held, which judges the result") as caught:
        refuse_leaks(leaks)
    assert caught.value.problems[0].message == "row 10 is dataset/held row 1: where is MY card"
    refuse_leaks([])


def test_a_conversation_leaks_by_what_its_user_says():
    held = [example(1, said="Where is my card?")]
    training = [conversation(5, ("system", "You help."), ("user", "where is my card"), ("assistant", "at home"))]
    assert [each.row for each in find_leaks(training, {"dataset/held": held})] == ["5"]


def test_same_words_sees_through_forms_case_and_punctuation():
    assert same_words("ＣＡＦÉ,  it's\tok…") == same_words("café it s OK")
    assert same_words("?!") == ""


def test_many_leaks_are_counted():
    held = [example(each) for each in range(200)]
    with pytest.raises(Invalid, match="200 training rows") as caught:
        refuse_leaks(find_leaks(held, {"dataset/held": held}))
    assert len(caught.value.problems) == 51
    assert caught.value.problems[-1].message == "and 150 more"
