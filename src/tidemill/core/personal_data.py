"""Personal data that has a form: found by pattern, and by its check digits where it has some. Pure functions.

Names, places and whatever has no form of its own need a language model; see `flows/providers/presidio.py`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

VERSION: Final = "rules/1"


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Finding:
    """`text[start:end]` is a `label`, as in EMAIL_ADDRESS."""

    start: int
    end: int
    label: str


def is_luhn(digits: str) -> bool:
    """Whether the last digit checks the others, as on payment cards (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_iban(text: str) -> bool:
    """Whether the check digits of an IBAN hold (ISO 13616, ISO 7064 MOD 97-10)."""
    compact = re.sub(r"[\s-]", "", text).upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", compact):
        return False
    return int("".join(str(int(each, 36)) for each in compact[4:] + compact[:4])) % 97 == 1


def find_personal_data(text: str) -> list[Finding]:
    """Every finding, by place; where two overlap, the surer kind, which is listed first below."""
    found: list[Finding] = []
    for label, pattern, holds in _KINDS:
        for match in pattern.finditer(text):
            if holds(match[0]) and not any(match.start() < each.end and each.start < match.end() for each in found):
                found.append(Finding(start=match.start(), end=match.end(), label=label))
    return sorted(found)


def find_label(text: str, label: str) -> Iterator[tuple[int, int]]:
    """Where one kind of personal data stands, in order; `label` as in EMAIL_ADDRESS."""
    pattern, holds = _BY_LABEL[label]
    return (match.span() for match in pattern.finditer(text) if holds(match[0]))


def merge(findings: Iterable[Finding]) -> list[Finding]:
    """Findings by place, without those that lie in another."""
    kept: list[Finding] = []
    for each in sorted(findings, key=lambda found: (found.start, -found.end, found.label)):
        if not kept or each.end > kept[-1].end:
            kept.append(each)
    return kept


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 12 <= len(digits) <= 19 and digits[0] in "23456" and len(set(digits)) > 1 and is_luhn(digits)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_phone(text: str) -> bool:
    digits = re.sub(r"\D", "", text.partition("x")[0])
    longest = 15 if text.startswith("+") else 12
    return 8 <= len(digits) <= longest and len(set(digits)) > 2 and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text)


def _always(_: str) -> bool:
    return True


_KINDS: Final[Sequence[tuple[str, re.Pattern[str], Callable[[str], bool]]]] = (
    (
        "EMAIL_ADDRESS",
        re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}[A-Za-z]{2,24}(?![\w-])"),
        _always,
    ),
    ("IBAN_CODE", re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{2,4}){3,8}(?!\w)"), is_iban),
    ("CREDIT_CARD", re.compile(r"(?<![\w-])\d(?:[ -]?\d){11,18}(?![\w-])"), _is_card),
    ("US_SSN", re.compile(r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"), _always),
    (
        "IP_ADDRESS",
        re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w:]|\.\d)"),
        _is_address,
    ),
    (
        "PHONE_NUMBER",
        re.compile(
            r"(?<![\w.,/+-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){5,12}"
            r"|\(\d{2,5}\)[ .-]?\d{2,4}(?:[ .-]\d{2,4}){1,3}"
            r"|\d{2,4}(?:[ .-]\d{2,4}){2,4})(?:x\d{1,6})?(?![\w/-]|[.,]\d)"
        ),
        _is_phone,
    ),
)  # fmt: skip
_BY_LABEL: Final = {label: (pattern, holds) for label, pattern, holds in _KINDS}
