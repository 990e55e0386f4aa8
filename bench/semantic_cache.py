"""How often kept answers are found by meaning, and how often the wrong one, by threshold.

    python -m bench.semantic_cache

Real questions of a bank's customers (banking77) and of an assistant's users (clinc150), drawn by a seed, embedded with the
local MiniLM and asked one after the other. A hit is false when the kept question has another intent. The same intent is less
than the same answer ("my card has not come after a week" and "when will my card come" share one), so the figures bound what
would be wrong from below: measure your own questions, with your own embedder, before you trust a threshold.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Any, cast

from bench.measure import one_thread

one_thread()

from bench.parts import CALLER, open_parts  # noqa: E402  (after the engine was given its one thread)
from tidemill.core.chat import Vectors  # noqa: E402
from tidemill.core.json import parse_json  # noqa: E402
from tidemill.core.records import Version  # noqa: E402
from tidemill.models.cache.measure import measure  # noqa: E402

QUESTIONS = 1000
THRESHOLDS = (0.80, 0.85, 0.90, 0.92, 0.94, 0.96, 0.98)
SETS = ("banking77/train.jsonl", "clinc150/val.jsonl")
EMBEDDER = Version(
    project=CALLER.project,
    kind="embedder",
    name="minilm",
    number=1,
    digest=f"sha256:{'0' * 64}",
    spec={"provider": "local", "model": "all-minilm-l6-v2"},
)


def data() -> Path:
    """The folder of the shared data."""
    named = os.environ.get("TIDEMILL_SHARED_DATA")
    return Path(named) if named else Path(__file__).parents[2] / "shared" / "data"


def questions(file: Path) -> list[tuple[str, str]]:
    """Some questions and their intents, each text once."""
    rows = [cast("dict[str, Any]", parse_json(line, what="a row")) for line in file.read_bytes().splitlines() if line]
    found = {str(row["text"]): str(row["intent"]) for row in rows}
    return random.Random(7).sample(sorted(found.items()), min(QUESTIONS, len(found)))


async def vectors_of(texts: list[str]) -> Vectors:
    """Their embeddings."""
    async with open_parts() as parts:
        return (await parts.models.embed(EMBEDDER, texts, caller=CALLER)).vectors


def main() -> int:
    """Print a table a set."""
    for name in SETS:
        if not (data() / name).exists():
            print(f"{name} is not at {data()}; set TIDEMILL_SHARED_DATA", file=sys.stderr)
            return 1
        asked = questions(data() / name)
        vectors = asyncio.run(vectors_of([text for text, _ in asked]))
        print(f"{name}: {len(asked)} questions, {len({intent for _, intent in asked})} intents")
        print("threshold   hits   false of them   95 %")
        for each in measure(vectors, [intent for _, intent in asked], thresholds=THRESHOLDS):
            rate = each.false_hits / each.hits if each.hits else 0.0
            share = each.hits / each.questions
            print(f"{each.threshold:9.2f} {share:6.1%} {rate:15.1%}   {each.low:.1%} to {each.high:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
