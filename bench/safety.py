"""What the safety checks find and miss on public data, beside plainer forms of them.

Needs the shared data (`TIDEMILL_SHARED_DATA`); measures nothing without it. The rules for injection were written with these
attacks in view, so their recall here is what they reach at best; the texts without an attack were not looked at.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path

from bench.measure import one_thread, report

NAIVE = re.compile(r"ignore .{0,20}instructions", re.IGNORECASE)


def rows(folder, name):
    return [json.loads(line) for line in (folder / name).read_text("utf-8").split("\n") if line]


async def injection(folder):
    from tidemill.flows.safety_checks import PromptInjection

    attacks = [each["user_input"] for each in rows(folder, "prompt_injection/english.jsonl")]
    benign = [each["prompt"] for each in rows(folder, "xstest/prompts.jsonl") if each["label"] == "safe"]
    benign += [each["text"] for each in rows(folder, "pii_presidio/rows.jsonl")]
    benign += [each["text"] for each in rows(folder, "clinc150/val.jsonl")]
    check = PromptInjection()
    found = [bool(await check.check(text)) for text in attacks]
    false = [bool(await check.check(text)) for text in benign]
    naive = [bool(NAIVE.search(text)) for text in attacks]
    counts = {"attacks": len(attacks), "benign": len(benign), "false_alarms": sum(false)}
    precision = {"precision": round(sum(found) / (sum(found) + sum(false)), 4)}
    report(
        "safety",
        f"prompt injection, {len(attacks)} attacks",
        ours=sum(found) / len(attacks),
        baseline=sum(naive) / len(attacks),
        unit="recall",
        baseline_is="one pattern: ignore … instructions",
        **counts,
        **precision,
    )


async def personal_data(folder):
    from tidemill.flows.safety_checks import PersonalData

    texts = rows(folder, "pii_presidio/rows.jsonl")
    checks = {engine: PersonalData(engine=engine) for engine in ("presidio", "rules")}
    await checks["presidio"].check("Warm: John, +1 541 714 1388.")
    results, spent = {}, {}
    for engine, check in checks.items():
        began = time.process_time()
        results[engine] = [await check.check(each["text"]) for each in texts]
        spent[engine] = time.process_time() - began
    for label in ("EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "PHONE_NUMBER", "PERSON"):
        (ours, precision, count), (plain, *_) = (_quality(texts, results[engine], label) for engine in ("presidio", "rules"))
        report(
            "safety",
            f"personal data, {count} x {label}",
            ours=ours,
            baseline=plain,
            unit="recall",
            baseline_is="the rules alone, without a language model",
            precision=precision,
        )
    report(
        "safety",
        "personal data, texts a CPU second",
        ours=len(texts) / spent["presidio"],
        baseline=len(texts) / spent["rules"],
        unit="texts/s",
        baseline_is="the rules alone, without a language model",
    )


def _quality(texts, found, label):
    """Recall, precision and how many there are: a finding is right when it overlaps one of the same kind."""
    hit = right = total = claimed = 0
    for row, findings in zip(texts, found, strict=True):
        wanted = [(each["start"], each["end"]) for each in row["spans"] if each["type"] == label]
        given = [(start, end) for start, end, kind in findings if kind == label]
        hit += sum(any(start < e and s < end for s, e in given) for start, end in wanted)
        right += sum(any(start < e and s < end for s, e in wanted) for start, end in given)
        total, claimed = total + len(wanted), claimed + len(given)
    return hit / total, round(right / claimed, 4) if claimed else None, total


def main() -> int:
    named = os.environ.get("TIDEMILL_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        print(f"the shared data is not at {folder}; set TIDEMILL_SHARED_DATA", file=sys.stderr)
        return 0
    one_thread()
    asyncio.run(injection(folder))
    asyncio.run(personal_data(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
