import datetime as dt
import decimal
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.errors import Invalid
from tidemill.core.records import Parsed, Version
from tidemill.data.dataset import load_samples
from tidemill.data.kinds import DatasetKind

BODY = {"path": "q.jsonl", "roles": {"input": "question", "reference": "answer"}}


def parse(memory_files, content, *, name="q.jsonl", **body):
    files = memory_files({name: content})
    return DatasetKind().parse({**BODY, "path": name, **body}, files=files), files


def version(parsed: Parsed) -> Version:
    return Version(
        project="default", kind="dataset", name="q", number=1, digest="sha256:0", spec=parsed.spec, blobs=parsed.blobs
    )


def failure(memory_files, content, *, name="q.jsonl", **body) -> Invalid:
    with pytest.raises(Invalid) as caught:
        parse(memory_files, content, name=name, **body)
    return caught.value


def rows(*each) -> str:
    return "".join(json.dumps(row) + "\n" for row in each)


def test_rows_become_samples_by_their_roles(memory_files):
    text = rows({"id": "a", "question": "one?", "answer": "1", "topic": "t"}, {"id": "b", "question": "two?", "answer": "2"})
    parsed, files = parse(memory_files, text)
    assert parsed.spec == {
        "columns": {"id": "text", "question": "text", "answer": "text", "topic": "text"},
        "roles": {"input": "question", "reference": "answer", "id": "id"},
        "rows_count": 2,
    }
    first, second = load_samples(version(parsed), files)
    assert (first.id, first.input, first.reference, first.metadata) == ("a", "one?", "1", {"topic": "t"})
    assert second.metadata == {}
    assert first.digest != second.digest


def test_a_sample_without_an_id_has_its_rows_number_and_several_inputs_make_an_object(memory_files):
    text = rows({"q": "one?", "n": 1, "answer": "1"}, {"q": "two?", "n": 2, "answer": "2"})
    parsed, files = parse(memory_files, text, roles={"input": ["q", "n"], "reference": "answer"})
    samples = load_samples(version(parsed), files)
    assert [each.id for each in samples] == ["1", "2"]
    assert samples[1].input == {"q": "two?", "n": 2}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.csv", b'\xef\xbb\xbfquestion,answer\r\n"one, or\ntwo?",1\r\n'),
        ("q.tsv", b"question\tanswer\none, or\ntwo?\t1\n".replace(b"one, or\ntwo?", b'"one, or\ntwo?"')),
        ("q.jsonl", b'\xef\xbb\xbf{"question": "one, or\\ntwo?", "answer": "1"}\n\n'),
        ("q.json", b'[{"question": "one, or\\ntwo?", "answer": "1"}]'),
    ],
)
def test_the_same_rows_in_any_format_with_or_without_a_mark_are_the_same_dataset(memory_files, name, content):
    parsed, _ = parse(memory_files, content, name=name)
    plain, _ = parse(memory_files, rows({"answer": "1", "question": "one, or\ntwo?"}))
    assert parsed == plain


def test_inline_rows(memory_files):
    parsed = DatasetKind().parse({"rows": [{"input": "x", "when": dt.date(2026, 1, 2)}]}, files=(files := memory_files({})))
    assert parsed.spec["columns"] == {"input": "text", "when": "date"}
    assert load_samples(version(parsed), files)[0].metadata == {"when": "2026-01-02"}


def test_parquet(memory_files):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({"question": ["a?"], "answer": [decimal.Decimal("1.50")]}), sink)
    parsed, files = parse(memory_files, sink.getvalue().to_pybytes(), name="q.parquet")
    assert load_samples(version(parsed), files)[0].reference == "1.5"
    assert "not valid Parquet" in failure(memory_files, b"PAR1 broken", name="q.parquet").message


def test_text_with_other_line_separators_is_one_row(memory_files):
    parsed, files = parse(memory_files, '{"question": "a\u2028b\u0085c", "answer": "1"}\n')
    assert load_samples(version(parsed), files)[0].input == "a\u2028b\u0085c"


def test_a_missing_column_names_the_nearest(memory_files):
    error = failure(memory_files, rows({"question": "a", "anwser": "b"}))
    assert (error.message, error.where, error.hint) == (
        "there is no column 'answer'",
        "roles.reference",
        "Did you mean anwser?",
    )


def test_no_input_role_says_which_columns_there_are(memory_files):
    error = failure(memory_files, rows({"q": "a"}), roles={})
    assert "no column is the input" in error.message
    assert "columns here: q" in error.hint


def test_mixed_types_say_where_each_stands(memory_files):
    error = failure(memory_files, rows({"question": "a", "answer": "b"}, {"question": "c", "answer": 4}))
    assert error.message == "the column 'answer' mixes types: text at q.jsonl:1, integer at q.jsonl:2"


def test_whole_and_fractional_numbers_are_one_type_and_null_is_any(memory_files):
    text = rows({"question": "a", "answer": 1}, {"question": "b", "answer": 2.5}, {"question": "c", "answer": None})
    assert parse(memory_files, text)[0].spec["columns"]["answer"] == "number"


@pytest.mark.parametrize(
    ("name", "content"), [("q.csv", "question,answer\n"), ("q.jsonl", "\n \n"), ("q.json", "[]"), ("q.json", "")]
)
def test_no_rows(memory_files, name, content):
    assert failure(memory_files, content, name=name).message == "the dataset has 0 rows"


def test_an_empty_csv_has_no_header(memory_files):
    assert "no header" in failure(memory_files, "", name="q.csv").message


def test_no_inline_rows_is_said_of_rows(memory_files):
    with pytest.raises(Invalid) as caught:
        DatasetKind().parse({"rows": []}, files=memory_files({}))
    assert caught.value.where == "rows"


def test_duplicate_ids_name_both_places(memory_files):
    text = rows(*({"id": each, "question": "a", "answer": "b"} for each in (1, 2, 1)))
    assert failure(memory_files, text).message == "q.jsonl:3: the id '1' was already used at q.jsonl:1"


def test_a_csv_cell_over_several_lines_keeps_the_line_numbers_right(memory_files):
    error = failure(memory_files, 'id,question,answer\n1,"a\nb",c\n1,d,e\n', name="q.csv")
    assert error.message == "q.csv:4: the id '1' was already used at q.csv:2"


def test_invalid_utf8_names_the_line(memory_files):
    content = rows({"question": "a", "answer": "b"}).encode() + b'{"question": "caf\xe9", "answer": "c"}\n'
    error = failure(memory_files, content)
    assert error.message == "q.jsonl:2: the byte 0xe9 is not UTF-8"
    assert error.hint == "Save the file as UTF-8."


def test_utf16_is_named(memory_files):
    assert "UTF-16" in failure(memory_files, "question,answer\n".encode("utf-16"), name="q.csv").message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("q.jsonl", '{"question": "a"\n', "q.jsonl:1: not valid JSON"),
        ("q.jsonl", '{"question": "a"}\n[1]\n', "q.jsonl:2: a list, not an object"),
        ("q.jsonl", '{"question": "a", "question": "b"}\n', "'question' stands there twice"),
        ("q.jsonl", '{"question": ' + "[" * 100_000 + "}\n", "nested too deeply"),
        ("q.jsonl", '{"question": "\\ud800", "answer": "b"}\n', "lone surrogate"),
        ("q.jsonl", '{"question": ' + "9" * 5000 + "}\n", "q.jsonl:1: not valid JSON"),
        ("q.json", '{"rows": 1}', "an object, not a list of rows"),
        ("q.csv", "question,answer\na\n", "q.csv:2: 1 cells, but the header has 2"),
        ("q.csv", "question,question\na,b\n", "stands there twice"),
        ("q.csv", 'question,answer\n"a,b\n', "not valid CSV"),
        ("q.csv", "question;answer\na;b\n", "parted by ';'"),
        ("q.xls", "", "no known ending"),
    ],
)
def test_broken_files_get_one_clear_line(memory_files, name, content, words):
    assert words in failure(memory_files, content, name=name).message


def test_an_input_that_is_missing_in_a_row(memory_files):
    error = failure(memory_files, rows({"question": "a", "answer": "b"}, {"answer": "b"}, {"question": None, "answer": "b"}))
    assert [each.message.split(":")[1] for each in error.problems] == ["2", "3"]


def test_many_problems_are_counted_not_listed(memory_files):
    error = failure(memory_files, "question,answer\n" + "a\n" * 50, name="q.csv")
    assert len(error.problems) == 11
    assert error.problems[-1].message == "and 40 more like these"


@pytest.mark.parametrize(
    ("body", "where", "words"),
    [
        ({"path": "q.jsonl", "rols": {}}, "rols", "unknown key 'rols'"),
        ({"path": "q.jsonl", "roles": {"inptu": "q"}}, "roles.inptu", "unknown key 'inptu'"),
        ({"path": 3}, "path", "3 is wrong here"),
        ({"rows": [1]}, "rows.0", "1 is wrong here"),
        ({}, "path", "either path or rows"),
        ({"path": "qq.jsonl"}, "path", "there is no file 'qq.jsonl'"),
    ],
)
def test_a_wrong_document_names_the_key(memory_files, body, where, words):
    with pytest.raises(Invalid) as caught:
        DatasetKind().parse(body, files=memory_files({"q.jsonl": ""}))
    assert caught.value.where == where
    assert words in caught.value.message
    if "unknown" in words:
        assert "Did you mean" in caught.value.hint


def test_diff_says_what_changed(memory_files):
    old, _ = parse(memory_files, rows({"question": "a", "answer": "b"}))
    new, _ = parse(memory_files, rows({"question": "a", "answer": 1, "topic": "t"}, {"question": "b", "answer": 2}))
    assert list(DatasetKind().diff(old.spec, new.spec)) == [
        "rows 1 -> 2", "column answer text -> integer", "+ column topic text"
    ]  # fmt: skip


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab$", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_any_value_comes_back_as_it_was(memory_files, value):
    files = memory_files({})
    parsed = DatasetKind().parse({"rows": [{"input": "x", "extra": value}]}, files=files)
    assert load_samples(version(parsed), files)[0].row["extra"] == value
