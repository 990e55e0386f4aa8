"""Whether every known change of the shared drift streams is found, and how often the stream without a change alarms.

    python -m bench.drift_streams [--resamples 1000]

Each stream is watched as a monitor would: the beginning is the reference, and a window moves on until it alarms. The stream
without a change is cut at random into a reference and a window, many times, and the whole decision (five tests under Holm) is
made each time. Vectors are made once and kept in the folder that TIDEMILL_BENCH_CACHE names, else in a temporary one.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import one_thread

one_thread()

import numpy as np  # noqa: E402  (after the engines were given their one thread)

from bench.embedding import Plain  # noqa: E402
from tidemill.evaluation.statistics import wilson_interval  # noqa: E402
from tidemill.monitor.drift import Options, Side, detect_drift  # noqa: E402
from tidemill.monitor.texts import languages  # noqa: E402

ALPHA, STEP = 0.01, 25
WATCHED = {  # the size of the reference, at the stream's beginning, and of the window
    "abrupt_topic": (600, 150),
    "gradual_topic": (600, 150),
    "language_mix": (400, 100),
    "model_swap_outputs": (90, 45),
}
NULL = "null_stationary"


def data() -> Path:
    """Where the streams are."""
    named = os.environ.get("TIDEMILL_SHARED_DATA")
    return (Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data") / "drift_dev"


def read(name: str) -> Side:
    """A stream with vectors and languages."""
    lines = (data() / f"{name}.jsonl").read_text("utf-8").split("\n")
    texts = [json.loads(line)["text"] for line in lines if line]
    folder = Path(os.environ.get("TIDEMILL_BENCH_CACHE") or Path(tempfile.gettempdir()) / "tidemill-bench")
    folder.mkdir(exist_ok=True)
    kept = folder / f"{name}-{len(texts)}.npy"
    if not kept.exists():
        order = np.argsort([len(each) for each in texts], kind="stable")  # like lengths together: less padding
        rows = np.empty((len(texts), 384), dtype=np.float32)
        rows[order] = Plain().embed([texts[each] for each in order], size=32)
        np.save(kept, rows)
    return Side(texts=texts, rows=np.load(kept), languages=languages(texts))


def part(whole: Side, places) -> Side:
    """Some of a stream's texts."""
    assert whole.rows is not None
    assert whole.languages is not None
    kept = [int(each) for each in places]
    return Side(
        texts=[whole.texts[each] for each in kept], rows=whole.rows[kept], languages=[whole.languages[each] for each in kept]
    )


def watch(name: str, changes) -> dict[str, object]:
    """Move a window along a stream; where it first alarmed, and how often it did where nothing had changed."""
    whole, (size, width) = read(name), WATCHED[name]
    change = changes[0]["at"]
    reference = part(whole, range(size))
    options = Options(alpha=ALPHA, simulations=0)
    before = early = 0
    found = None
    for end in range(size + width, whole.n + 1, STEP if whole.n > 500 else 7):
        drift = detect_drift(reference, part(whole, range(end - width, end)), options=options)
        if end <= change:
            before += 1
            early += drift.alarm
        elif drift.alarm:
            found = (end, drift)
            break
    told = None if found is None else [each.name for each in found[1].tests if each.alarm]
    return {
        "benchmark": "drift_streams", "what": name, "change_at": change, "until": changes[0].get("until"),
        "reference": size, "window": width, "alarmed_at": found and found[0], "delay": found and found[0] - change,
        "shown_by": told, "windows_before_the_change": before, "alarms_before_the_change": early, "alpha": ALPHA,
    }  # fmt: skip


def silence(*, resamples: int, size: int, alpha: float) -> dict[str, object]:
    """How often the whole decision alarms on cuts of the stream that has no change."""
    whole = read(NULL)
    generator = np.random.default_rng(0)
    options = Options(alpha=alpha, permutations=499, simulations=0)
    alarms, by_test = 0, dict[str, int]()
    start = time.perf_counter()
    for seed in range(resamples):
        order = generator.permutation(whole.n)
        chosen = Options(alpha=alpha, permutations=options.permutations, simulations=0, seed=seed)
        drift = detect_drift(part(whole, order[:size]), part(whole, order[size : 2 * size]), options=chosen)
        alarms += drift.alarm
        for each in drift.tests:
            by_test[each.name] = by_test.get(each.name, 0) + (each.p_value < alpha)
    low, high = wilson_interval(alarms, n=resamples)
    return {
        "benchmark": "drift_streams", "what": NULL, "resamples": resamples, "reference": size, "window": size, "alpha": alpha,
        "alarms": alarms, "rate": alarms / resamples, "interval": [round(low, 4), round(high, 4)],
        "each_test_alone": {name: count / resamples for name, count in by_test.items()},
        "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip


def main(arguments: list[str]) -> int:
    if not data().is_dir():
        print(f"the drift streams are not at {data()}; set TIDEMILL_SHARED_DATA", file=sys.stderr)
        return 0
    resamples = int(arguments[arguments.index("--resamples") + 1]) if "--resamples" in arguments else 1000
    lines = (data() / "streams.jsonl").read_text("utf-8").split("\n")
    streams = {each["stream"]: each for line in lines if line for each in [json.loads(line)]}
    missed = 0
    for name in WATCHED:
        found = watch(name, streams[name]["change_points"])
        missed += found["alarmed_at"] is None
        print(json.dumps(found), flush=True)
    quiet = silence(resamples=resamples, size=200, alpha=0.05)
    print(json.dumps(quiet), flush=True)
    assert isinstance(quiet["interval"], list)
    return 1 if missed or quiet["interval"][0] > 0.05 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
