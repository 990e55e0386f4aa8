"""What the built-in patterns find, and that no pattern and no text can hold us up."""

from __future__ import annotations

import time

import pytest

from tidemill.core.errors import Invalid
from tidemill.telemetry.rules.patterns import BUILT_IN
from tidemill.telemetry.rules.regex import compile_pattern, join_places

PLANTED = {
    "email": ["ada@example.com", "o'neil.x+tag@mail.example.co.uk", "müller@exämple.de"],
    "card": ["4111 1111 1111 1111", "5555555555554444", "3782-822463-10005", "4111.1111.1111.1111"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "fr14 2004 1010 0505 0001 3m02 606"],
    "phone": ["+49 170 1234567", "(030) 1234-5678", "+1-212-555-0187"],
    "ip": ["192.168.7.254", "2001:db8::8a2e:370:7334"],
    "ssn": ["078-05-1120"],
    "api_key": [
        "sk-" + "proj-abcdefghijklmnop1234", "sk-" + "ant-api03-abcdefghijklmnopqrstuvwx", "AKIA" + "IOSFODNN7EXAMPLE",
        "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789", "tm_k1a2b3_abcdefghijklmnopqrst", "xoxb-1234567890-abcdefghij",
        "Bearer abcdefghijklmnop.qrstuv", 'api_key="abcdef123456"',
    ],
    "jwt": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP"],
    "private_key": ["-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEabc\n-----END RSA " + "PRIVATE KEY-----"],
    "url_password": ["https://ada:hunter2@db.example/x"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(name, each) for name, texts in PLANTED.items() for each in texts])
@pytest.mark.parametrize("around", ["{}", "before {} after", '{{"k": "{}"}}', "a,{},b", "\n{}\n", "({}) 123"])
def test_each_is_found(name: str, text: str, around: str) -> None:
    whole = around.format(text)
    start = whole.index(text)
    found = list(BUILT_IN[name](whole))
    covered = {place for begin, end in found for place in range(begin, end)}
    secret = range(start, start + len(text)) if name not in {"url_password", "api_key"} else [start + len(text) // 2]
    missed = [whole[place] for place in secret if place not in covered]
    assert len(missed) <= (2 if name == "phone" else 0), (found, whole)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize(
    "text",
    ["", "The context manager is 3.11 or 2024-05-06 12:30.", "version 1.2.3", "4111 1111 1111 1112", "a@b", "1.5e10", "\ud800"],
)
def test_what_is_nothing_is_not_found(name: str, text: str) -> None:
    assert list(BUILT_IN[name](text)) == []


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize(
    "piece", ["1", "1 ", "a", "a.", "aa@", "DE89 ", "-----BEGIN ", ":", "1:", "+1", "eyJaaaaaaaa.", "sk-", "://a:"]
)
def test_no_text_holds_us_up(name: str, piece: str) -> None:
    text = piece * (50_000 // len(piece))
    began = time.process_time()
    list(BUILT_IN[name](text))
    assert time.process_time() - began < 3


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+$", r"(.*a){20}b"])
def test_a_hostile_pattern_takes_linear_time(pattern: str) -> None:
    find = compile_pattern(pattern)
    began = time.process_time()
    list(find("a" * 100_000 + "!"))
    assert time.process_time() - began < 3


@pytest.mark.parametrize("pattern", [r"(?<=x)y", r"(a)\1", r"a*", r"(", "x" * 1001, r"a{1,100000}", "\ud800"])
def test_what_cannot_be_used_is_refused(pattern: str) -> None:
    with pytest.raises(Invalid) as refused:
        compile_pattern(pattern)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("found", "joined"),
    [
        ([], []), ([(3, 5), (0, 2)], [(0, 2), (3, 5)]), ([(0, 10), (5, 20)], [(0, 20)]),
        ([(0, 10), (2, 3), (9, 12)], [(0, 12)]), ([(0, 2), (2, 4)], [(0, 2), (2, 4)]),
    ],
)  # fmt: skip
def test_of_places_that_overlap_nothing_is_left(found: list[tuple[int, int]], joined: list[tuple[int, int]]) -> None:
    assert list(join_places(found)) == joined
