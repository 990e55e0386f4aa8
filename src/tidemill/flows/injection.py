"""Attempts to take over a model by its input: rules, and nothing but rules.

Each rule names a technique of Perez and Ribeiro 2022, "Ignore Previous Prompt" (arXiv:2211.09527), or of the OWASP list for LLM
applications (LLM01). They see wording, not meaning: an attack in other words passes, and a text about attacks is found. What
they find and miss on public data is measured by `bench/safety.py` and told in the guide. Every pattern is bounded, so that no
text can make it slow.
"""

from __future__ import annotations

import re
from typing import Final

from tidemill.core.personal_data import Finding

VERSION: Final = "rules/1"
LONGEST: Final = 20_000
"""Characters of a text that are read: its beginning and its end, half each."""

_RULES: Final[tuple[tuple[str, str], ...]] = (
    ("override", r"""
        \b(?: ignor\w* | disregard\w* | forget | overrid\w+ | bypass\w* | neglect | pay\sno\sattention\sto | do\snot\sfollow
            | don'?t\sfollow | stop\sfollowing )\b
        [^.?!\n]{0,60}?
        \b(?: previous | prior | above | earlier | preceding | initial | original | your | those | these | all
            | any | every\w* )\b
        [^.?!\n]{0,30}?
        \b(?: (?: instruction | direction | directive | rule | prompt | guideline | order | command | restriction | message
            | policy | policie | training )s? | been\stold | were\stold | told\syou | context )\b"""),
    ("override", r"\bignore\s(?: the | everything | all(?:\sof\sthe)? )\s(?: above | previous | function | text | rest )\b"),
    ("override", r"\b(?: new | updated | real )\s(?: instructions? | task | system\sprompt )\s?(?: : | (?:are|is)\b )"),
    ("override", r"""
        \b(?: vergiss | vergessen\ssie | ignorier\w* | missachte\w* )\b [^.?!\n]{0,50}
            \b(?: anweisung | instruktion | regel | befehl | vorgabe )
        | \b(?: olvid\w+ | ignor[ae]\w* | dimentica | oublie\w* )\b [^.?!\n]{0,50}
            \b(?: instruc | indicaci[oó]n | regla | [oó]rden | istruzion | instruç | regole | consigne | r[eè]gle | directive )
        | 無視して | 忘れて | (?: 忽略 | 无视 | 無視 )[^。\n]{0,20}(?: 指示 | 指令 | 規則 | 规则 )
        | (?: забудь | игнорируй )[^.?!\n]{0,50}(?: инструкц | указан | правил )"""),
    ("reveal", r"""
        \b(?: reveal | show | print | repeat | tell | give | share | output | display | leak | confirm | disclose | write | send
            | read | what(?:'s|\sis|\sare|\swas) )\b
        [^.?!\n]{0,40}?
        \b(?: your | the | our | his | her | their | system )\b
        [^.?!\n]{0,25}?
        \b(?: pass\s?words? | pass\s?codes? | pass\s?phrases? | secret(?:\skey|\scode|\sword)?s? | api[\s-]?keys? | credentials
            | access\scodes? )\b
        (?! \s(?: reset | policy | manager ) )"""),
    ("reveal", r"""
        \b(?: reveal | show | print | repeat | tell\sme | give\sme | share | output | display | leak
            | what(?:'s|\sis|\sare|\swas|\swere) )\b
        [^.?!\n]{0,30}?
        \b(?: your | the )\s(?:(?: system | initial | original | hidden | secret | full | exact )\s){0,3}
        (?: prompt | instructions )\b"""),
    ("reveal", r"""
        \b(?: ist | sind )\s(?: das | dein | ihr )\s(?: passwort | kennwort ) | \bmir\sihr\spasswort\b
        | パスワード(?: は | を ) | 비밀번호 | 密码是 | пароль\?"""),
    ("role", r"""
        \byou\sare\s(?: now | about\sto )\b [^.?!\n]{0,60}
            \b(?: bot | dan | role | mode | unrestricted | jailbroken | evil | character | free | assistant\snamed | another )\b
        | \bdo\sanything\snow\b | \bjail\s?br(?:eak|oken)\b
        | \b(?: developer | debug | god | admin | unrestricted | maintenance | dan )\smode\b
        | \b(?: pretend | act | behave | respond | roleplay )\b [^.?!\n]{0,30}
            \b(?: no | without(?:\sany)? )\s(?: rules | restrictions | limits | filters? | guidelines )\b"""),
    ("authority", r"""
        \bI(?:\sa|')m\s(?: god\b | your\s(?: developer | creator | owner | admin\w* | boss | master | programmer )
            | (?: a | the | an )\s(?: developer | admin\w* )\s(?: running | and\s(?:you|I\sneed) | with\s(?:full|root) ) )
        | \b(?: ich\sbin | soy | je\ssuis | io\ssono )\s(?: (?:ein|dein|tu|un)\s )?(?: gott | dios | dieu | dio | entwickler )\b
        | \bsystem\s(?: upgrade | override | check )\b [^\n]{0,60} \b(?: I\sneed\syou | confirm | password | explain )"""),
    ("smuggling", r"""
        \b(?: decode | decipher | decrypt )\b [^.?!\n]{0,40}
            \b(?: morse | binary | base\s?64 | base\s?32 | hex\w* | rot\s?13 | cipher | string )\b
        | \binterlace\spart\b
        | \b(?: encode | spell | translate | write | put | provide | give )\b [^.?!\n]{0,50}
            \b(?: in | into | using | as | to | als | en )\s(?: base\s?64 | rot\s?13 | morse | hex\w* | binary )\b
        | (?: [01]{8}\s+ ){6} | (?: [.\-]{1,5}\s ){12}"""),
    ("markup", r"""
        <\|(?: im_start | im_end | system | endoftext )\|> | \[/?INST\] | <</?SYS>> | </?system>
        | ^\s{0,8}\#{2,6}\s?(?: system | instructions? )\b"""),
    ("bribe", r"""
        \b(?: give | pay | tip | donate | gebe | zahle )\b [^.?!\n]{0,25}
        (?: [$€£]\s?\d{1,9} | \d{1,9}\s?(?: dollars? | euros? | bucks ) ) [^.?!\n]{0,60}
        \b(?: if | wenn )\b"""),
)  # fmt: skip
_FLAGS: Final = re.IGNORECASE | re.MULTILINE | re.VERBOSE
_COMPILED: Final = tuple((name, re.compile(pattern, _FLAGS)) for name, pattern in _RULES)
_QUESTION, _ANSWER = re.compile(r"\bQ\s?:"), re.compile(r"\bA\s?:")
_MANY_SHOTS: Final = 3
_REPEATS: Final = 15


def find_injection(text: str) -> list[Finding]:
    """Where a rule matches, by place; the label is the rule's name."""
    found: set[Finding] = set()
    for offset, piece in _pieces(text):
        for name, pattern in _COMPILED:
            match = pattern.search(piece)
            if match is not None:
                found.add(Finding(start=offset + match.start(), end=offset + match.end(), label=name))
        if len(_QUESTION.findall(piece)) > _MANY_SHOTS <= len(_ANSWER.findall(piece)):
            found.add(Finding(start=offset, end=offset + len(piece), label="many shots"))
        if _repeats(piece):
            found.add(Finding(start=offset, end=offset + len(piece), label="repetition"))
    return sorted(found)


def _repeats(text: str) -> bool:
    """Whether one to four words stand so many times in a row."""
    words = text.split()
    for size in range(1, 5):
        run = 0
        for place in range(size, len(words)):
            run = run + 1 if words[place] == words[place - size] else 0
            if run >= size * (_REPEATS - 1):
                return True
    return False


def _pieces(text: str) -> list[tuple[int, str]]:
    if len(text) <= LONGEST:
        return [(0, text)]
    half = LONGEST // 2
    return [(0, text[:half]), (len(text) - half, text[-half:])]
