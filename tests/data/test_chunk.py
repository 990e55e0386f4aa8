import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.errors import Invalid
from tidemill.core.extend import Chunker, load_extension
from tidemill.core.records import Document
from tidemill.data.chunk import StructureChunker
from tidemill.data.cut import cut
from tidemill.data.providers.markdown import MarkdownParser
from tidemill.data.providers.rst import RstParser
from tidemill.testing import check_chunker

PIECES = st.sampled_from(
    [
        "# One\n",
        "## Two\n",
        "word ",
        "A sentence. ",
        "\n",
        "\n\n",
        "- item\n",
        "```\n",
        "    code\n",
        "ẹ́ö",
        "🧑‍🚀",
        "x" * 40,
        "。",
        "\t",
    ]
)
TEXTS = st.lists(PIECES, max_size=60).map("".join)


def chunks_of(text: str, parser=None, **options):
    document = (parser or MarkdownParser()).parse(text.encode(), id="d.md")
    return document, StructureChunker(**options).chunk(document)


@given(TEXTS, st.integers(5, 120), st.integers(0, 60), st.booleans())
def test_offsets_are_exact_sizes_are_kept_and_nothing_is_lost(text, max_chars, min_chars, overlapping):
    document, chunks = chunks_of(text, max_chars=max_chars, min_chars=min_chars, overlap=max_chars // 3 if overlapping else 0)
    covered: set[int] = set()
    for chunk in chunks:
        assert document.text[chunk.start : chunk.end] == chunk.text
        assert 0 < len(chunk.text) <= max_chars
        assert chunk.text.strip()
        covered.update(range(chunk.start, chunk.end))
    assert all(character.isspace() or place in covered for place, character in enumerate(document.text))
    assert [each.id for each in chunks] == [f"d.md#{number}" for number in range(1, len(chunks) + 1)]
    for one, other in itertools.pairwise(chunks):
        assert one.start < other.start
        if not overlapping:
            assert one.end <= other.start


@given(TEXTS, st.integers(1, 50))
def test_cutting_leaves_no_gap(text, limit):
    units = cut(text, 0, len(text), limit=limit)
    assert "".join(text[start:end] for start, end in units) == text
    assert all(end - start <= limit for start, end in units)


def test_chunks_follow_the_headings():
    text = "# Guide\n\nIntro text.\n\n## Install\n\nRun it.\n\n## Use\n\nCall it.\n"
    _, chunks = chunks_of(text, min_chars=0)
    assert [(each.headings, each.text) for each in chunks] == [
        (("Guide",), "# Guide\n\nIntro text."),
        (("Guide", "Install"), "## Install\n\nRun it."),
        (("Guide", "Use"), "## Use\n\nCall it."),
    ]
    assert chunks[1].embedded_text == "Guide > Install\n## Install\n\nRun it."


def test_short_sections_are_joined_under_what_they_share():
    text = "# Guide\n\n## Install\n\nRun it.\n\n## Use\n\nCall it.\n"
    _, chunks = chunks_of(text)
    assert [each.headings for each in chunks] == [("Guide",)]


def test_a_fenced_block_is_not_cut_at_its_blank_lines_and_its_headings_are_none():
    text = "# T\n\nBefore.\n\n```python\n# not a heading\n\na = 1\n```\n\nAfter.\n"
    _, chunks = chunks_of(text, max_chars=45, min_chars=0)
    assert [each.text for each in chunks] == ["# T\n\nBefore.", "```python\n# not a heading\n\na = 1\n```\n\nAfter."]


def test_long_prose_is_cut_between_sentences_and_lists_between_items():
    prose = " ".join(f"This is sentence number {number}." for number in range(20))
    assert all(each.text.endswith(".") for each in chunks_of(prose, max_chars=100)[1])
    items = "\n".join(f"- item {number} with a few words" for number in range(20))
    assert all(each.text.startswith("- ") for each in chunks_of(items, max_chars=100)[1])


def test_code_is_cut_between_lines_and_keeps_its_indentation():
    code = "\n".join(f"    value_{number} = call(it). Then()" for number in range(20))
    _, chunks = chunks_of(code, max_chars=100)
    assert all(each.text.startswith("    value_") for each in chunks)


def test_overlap_repeats_the_end_of_the_chunk_before():
    prose = " ".join(f"Sentence {number} here." for number in range(30))
    _, chunks = chunks_of(prose, max_chars=120, overlap=50)
    for one, other in itertools.pairwise(chunks):
        assert 0 < one.end - other.start <= 50


def test_a_character_is_not_parted_from_its_marks():
    _, chunks = chunks_of("e\u0301" * 50, max_chars=7)
    assert all(each.text.startswith("e") for each in chunks)


def test_an_edit_changes_only_the_digests_near_it():
    text = "".join(f"# H{number}\n\n{'Some words here. ' * 30}\n\n" for number in range(10))
    _, before = chunks_of(text)
    _, after = chunks_of(text.replace("# H5\n\nSome", "# H5\n\nOther"))
    assert len({each.digest for each in after} - {each.digest for each in before}) == 1


def test_the_same_piece_elsewhere_has_the_same_digest():
    one = StructureChunker().chunk(Document(id="a", text="Hello there."))
    other = StructureChunker().chunk(Document(id="b", text="\n\nHello there.\n"))
    assert one[0].digest == other[0].digest


def test_pages_are_kept_apart_and_numbered():
    document = Document(id="d.pdf", text="First page.\n\nSecond page.", metadata={"page_starts": [0, 13], "pages": 2})
    chunks = StructureChunker().chunk(document)
    assert [(each.text, each.metadata) for each in chunks] == [
        ("First page.", {"pages": 2, "page": 1}), ("Second page.", {"pages": 2, "page": 2})
    ]  # fmt: skip


def test_it_is_registered_and_refuses_an_overlap_of_more_than_half():
    made = load_extension("chunkers", "structure")(max_chars=100)
    assert isinstance(made, Chunker)
    check_chunker(made)
    with pytest.raises(Invalid, match="do not go together"):
        StructureChunker(max_chars=100, overlap=51)


def test_the_reference_manual_of_python_comes_in_pieces_with_its_headings():
    from pydoc_data.topics import topics

    document = RstParser().parse(topics["with"].encode(), id="with")
    assert document.title == 'The "with" statement'
    chunks = StructureChunker().chunk(document)
    assert len(chunks) > 1
    assert chunks[0].text.startswith('The "with" statement\n****')
    assert all(each.headings == ('The "with" statement',) for each in chunks)
