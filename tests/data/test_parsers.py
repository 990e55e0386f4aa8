import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.errors import Invalid
from tidemill.core.extend import DocumentParser, extension_names, load_extension
from tidemill.core.records import Document
from tidemill.data.providers.html import HtmlParser
from tidemill.data.providers.markdown import MarkdownParser
from tidemill.data.providers.pdf import PdfParser
from tidemill.data.providers.rst import RstParser
from tidemill.data.providers.text import TextParser
from tidemill.testing import check_document_parser

TEXT_PARSERS = [TextParser(), MarkdownParser(), RstParser(), HtmlParser()]


def outline(document: Document) -> list[tuple[int, str, str]]:
    """Level, title, and the first line of each section."""
    return [(each.level, each.title, document.text[each.start : each.end].split("\n")[0]) for each in document.sections]


def pdf(*pages: str, password: str | None = None) -> bytes:
    """A small PDF with a line of text a page."""
    from pypdf import PdfReader, PdfWriter

    count = len(pages)
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {count} /Kids [{' '.join(f'{4 + 2 * n} 0 R' for n in range(count))}] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET"
        box = "/MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >>"
        objects.append(f"<< /Type /Page /Parent 2 0 R {box} /Contents {5 + 2 * number} 0 R >>")
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    body, offsets = "%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{each}\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    start, size = len(body), len(objects) + 1
    body += f"xref\n0 {size}\n0000000000 65535 f \n{table}"
    content = f"{body}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    if password is None:
        return content.encode()
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(content.encode())))
    writer.encrypt(password, algorithm="RC4-128")
    sink = io.BytesIO()
    writer.write(sink)
    return sink.getvalue()


def refusal(parser: DocumentParser, content: bytes) -> str:
    """Why the parser refused it; the document's id when it did not."""
    try:
        return parser.parse(content, id="x").id
    except Invalid as error:
        return error.message


def test_every_parser_is_registered_by_its_ending():
    assert set(extension_names("document_parsers")) >= {"md", "markdown", "html", "htm", "rst", "txt", "pdf"}
    assert all(
        isinstance(load_extension("document_parsers", each)(), DocumentParser) for each in ("md", "htm", "rst", "txt", "pdf")
    )


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200) | st.text("#=-*`~ \n<p>h1/abc:", max_size=120))
def test_no_text_breaks_a_parser_and_sections_lie_within(text):
    for parser in TEXT_PARSERS:
        document = parser.parse(text.encode(), id="x")
        for section in document.sections:
            assert 0 <= section.start < section.end <= len(document.text)
            assert section.title.strip()


@pytest.mark.parametrize(
    ("parser", "content"),
    [
        (TextParser(), b"One two"),
        (MarkdownParser(), b"# One\n\ntwo"),
        (RstParser(), b"One\n===\n\ntwo"),
        (HtmlParser(), b"<h1>One</h1><p>two"),
        (PdfParser(), pdf("One two")),
    ],
)
def test_every_parser_passes_the_public_kit(parser, content):
    check_document_parser(parser, content=content, words=("One", "two"))


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(content):
    for parser in (*TEXT_PARSERS, PdfParser()):
        assert refusal(parser, content).startswith("x")


@pytest.mark.parametrize("parser", TEXT_PARSERS)
def test_a_byte_order_mark_and_other_line_ends_do_not_matter(parser):
    plain = parser.parse(b"One\n===\n\ntwo\n", id="x")
    assert parser.parse(b"\xef\xbb\xbfOne\r\n===\r\n\r\ntwo\r\n", id="x") == plain
    assert parser.parse("One\n===\n\ntwo\n".encode("utf-16"), id="x") == plain


@pytest.mark.parametrize("parser", TEXT_PARSERS)
def test_bytes_that_are_not_utf8_name_the_line(parser):
    with pytest.raises(Invalid, match="x:2: the byte 0xe9 is not UTF-8"):
        parser.parse(b"one\ncaf\xe9\n", id="x")


def test_markdown_headings():
    text = "Intro\n\n# One `code` ##\n\ntext\n\n```\n# not one\n```\n\n"
    text += "## [Two](url) { #anchor }\n\n> # quoted\n\nThree\n=====\nx\n"
    document = MarkdownParser().parse(text.encode(), id="x")
    assert outline(document) == [
        (1, "One code", "# One `code` ##"),
        (2, "Two", "## [Two](url) { #anchor }"),
        (1, "Three", "Three"),
    ]
    assert document.text == text
    assert document.title == "One code"
    assert document.sections[0].end == document.sections[2].start


def test_markdown_front_matter_is_metadata_and_builds_nothing():
    text = '---\ntitle: "A page"\nlevel: basic\nevil: !!python/object:os.system\nlist:\n  - 1\n---\n# Heading\n'
    document = MarkdownParser().parse(text.encode(), id="x")
    assert document.title == "A page"
    assert document.metadata == {"format": "markdown", "level": "basic", "evil": "!!python/object:os.system"}
    assert outline(document) == [(1, "Heading", "# Heading")]


def test_rst_headings_and_levels():
    text = "=====\nTitle\n=====\n\nPart\n====\n\ntext\n\nSub ``x``\n---------\n\n::\n\n    code\n    ====\n\n"
    text += "Part two\n========\n\na | b\n\n----\n\n===  ===\na    b\n===  ===\n"
    document = RstParser().parse(text.encode(), id="x")
    assert outline(document) == [
        (1, "Title", "====="),
        (2, "Part", "Part"),
        (3, "Sub x", "Sub ``x``"),
        (2, "Part two", "Part two"),
    ]
    assert document.title == "Title"


def test_rst_fields_at_the_top_are_metadata():
    document = RstParser().parse(b"PEP: 8\nTitle: Style Guide\nAuthor: A <a@b>,\n  B\nStatus: Active\n\nIntro\n=====\n", id="x")
    assert document.title == "Style Guide"
    assert document.metadata == {"format": "rst", "pep": "8", "author": "A <a@b>, B", "status": "Active"}


def test_html_shows_what_a_reader_sees():
    page = """<html><head><title>The  page</title><style>p{}</style></head><body>
    <nav><a href=/>Home</a></nav><header><a>Logo</a></header>
    <h1>One &amp; <em>only</em></h1><p>Some   <b>bold</b>
    text<br>next line</p><script>alert(1)</script>
    <div hidden>gone</div><h2></h2>
    <h2>List</h2><ul><li>first<li>second</ul>
    <pre>  a = 1
    b = 2</pre>
    <table><tr><th>k<th>v</tr><tr><td>1</td><td>2</td></tr></table>
    <form><input value=x>Search</form><footer>Imprint</footer></body></html>"""
    document = HtmlParser().parse(page.encode(), id="x")
    assert document.title == "The page"
    assert document.text == (
        "One & only\n\nSome bold text\nnext line\n\nList\n\n- first\n- second\n\n  a = 1\n    b = 2\n\nk | v\n1 | 2"
    )
    assert outline(document) == [(1, "One & only", "One & only"), (2, "List", "List")]


def test_html_with_one_main_is_only_that_and_a_header_with_a_heading_stays():
    page = "<body><div>Menu</div><main><header><h1>Title</h1></header><p>Text</p></main><div>Ads</div></body>"
    assert HtmlParser().parse(page.encode(), id="x").text == "Title\n\nText"


def test_html_in_a_declared_encoding():
    page = '<meta charset="windows-1252"><p>caf\xe9 \u201cquoted\u201d</p>'.encode("cp1252")
    assert HtmlParser().parse(page, id="x").text == "café “quoted”"


def test_html_may_nest_without_end():
    document = HtmlParser().parse(b"<div>" * 5_000 + b"deep", id="x")
    assert document.text == "deep"


def test_pdf_pages():
    document = PdfParser().parse(pdf("First page", "Second page"), id="x.pdf")
    assert document.text == "First page\n\nSecond page"
    assert document.metadata == {"format": "pdf", "pages": 2, "page_starts": [0, 12]}


def test_an_encrypted_pdf_is_refused_and_one_that_opens_without_a_password_is_read():
    with pytest.raises(Invalid, match=r"x\.pdf is encrypted"):
        PdfParser().parse(pdf("Secret", password="word"), id="x.pdf")
    with pytest.raises(Invalid, match=r"x\.pdf is encrypted"):
        PdfParser().check(pdf("Secret", password="word"), id="x.pdf")
    assert PdfParser().parse(pdf("Open", password=""), id="x.pdf").text == "Open"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is an empty file"),
        (b"not a pdf", "is not a readable PDF"),
        (pdf("One")[:120], "is not a readable PDF"),
        (pdf(""), "it holds no text; it may be a scan"),
        (pdf(), "has no pages"),
        (pdf("One").replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]"), "x.pdf"),
    ],
)
def test_a_broken_pdf_says_why(content, words):
    with pytest.raises(Invalid, match=words):
        PdfParser().parse(content, id="x.pdf")


@given(st.integers(0, 600), st.integers(0, 255))
def test_a_pdf_with_a_wrong_byte_is_read_or_refused(place, value):
    content = bytearray(pdf("One", "Two"))
    content[place] = value
    assert refusal(PdfParser(), bytes(content)).startswith("x")
