"""Text normalisation for answer matching, as SQuAD does it.

Source: Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text" (EMNLP), the official
`evaluate-v1.1.py` and `evaluate-v2.0.py`: lower case, remove ASCII punctuation, remove the articles a, an and the, and
collapse white space, in this order. Other scripts' punctuation and articles stay, as in the original.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence

from tidemill.core.json import Json, dump_json

NORMALISATION = "squad/2"
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalise(text: str) -> str:
    """SQuAD's `normalize_answer`."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def tokens(text: str) -> list[str]:
    """The words of the normalised text."""
    return normalise(text).split()


def as_text(value: Json) -> str:
    """An output as text: text itself, the `text` of an object that has one, else compact JSON; None is empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        text = value.get("text")
        if isinstance(text, str):
            return text
    return dump_json(value).decode("utf-8")


def references_of(value: Json) -> list[str]:
    """The accepted answers: a list's items, else the one value; none when it is None."""
    if value is None:
        return []
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_text(each) for each in value]
    return [as_text(value)]
