"""What the simulated users of the loop say, and what they mean: CLINC150 where it is at hand, else phrases written for this.

`TIDEMILL_SHARED_DATA` names the folder of public data sets; without it `../shared/data` beside the checkout is looked at.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
KNOWN = ("alarm", "balance", "play_music", "transfer", "translate", "weather")
NEW = ("book_flight", "lost_luggage")
_EACH = 36
_CHOICE = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True)
class Utterance:
    """A sentence and the intent behind it."""

    text: str
    intent: str


def source() -> str:
    """Where the sentences come from, in words."""
    return "CLINC150" if _clinc() else "phrases written for this demonstration"


def utterances() -> Mapping[str, Sequence[Utterance]]:
    """Thirty-six different sentences an intent, always the same ones in the same order."""
    by_intent = dict.fromkeys((*KNOWN, *NEW), ())
    found = _from_clinc(clinc) if (clinc := _clinc()) else _from_phrases()
    for intent, texts in found.items():
        if intent in by_intent:
            unique = sorted(dict.fromkeys(texts), key=lambda text: hashlib.sha256(text.encode()).digest())
            by_intent[intent] = tuple(Utterance(text, intent) for text in unique[:_EACH])
    return by_intent


def _clinc() -> Path | None:
    named = os.environ.get("TIDEMILL_SHARED_DATA")
    folder = Path(named) if named else HERE.parents[2] / "shared" / "data"
    path = folder / "clinc150" / "train.jsonl.gz"
    return path if path.is_file() else None


def _from_clinc(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            found.setdefault(row["intent"], []).append(row["text"])
    return found


def _from_phrases() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    intent = ""
    for line in (HERE / "phrases.txt").read_text("utf-8").splitlines():
        if not line.strip():
            intent = ""
        elif not line.startswith("#") and not intent:
            intent = line.strip()
        elif intent:
            found.setdefault(intent, []).extend(_expanded(line.strip()))
    return found


def _expanded(pattern: str) -> Iterator[str]:
    pieces = _CHOICE.split(pattern)
    for chosen in itertools.product(*(piece.split("|") if number % 2 else [piece] for number, piece in enumerate(pieces))):
        yield "".join(chosen)
