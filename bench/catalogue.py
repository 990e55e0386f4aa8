"""The catalogue of models: time to load it, and to search it, against reading the same rows one by one.

    python -m bench.catalogue

The baseline of a search looks through every row of every list, as a program without joined models would. Install the extra
`catalogue` for the lists; without it there is the core's own.
"""

from __future__ import annotations

import datetime as dt
import time

from bench.measure import quantiles, report
from tidemill.models.catalogue import Catalogue
from tidemill.models.catalogue_search import Wanted, search
from tidemill.models.providers import litellm_list, local_list, models_dev_list, price_list

SEARCHES = {
    "everything, with facets": Wanted(),
    "two words": Wanted(words="claude sonnet"),
    "four facets": Wanted(
        features=frozenset({"tools"}), modalities=frozenset({"image"}), min_context=100_000, max_price=1.0
    ),
}  # fmt: skip
RUNS, BUDGET_MS = 50, 100


def main() -> None:
    """Load, then search."""
    start = time.perf_counter()
    rows = [
        *price_list.read(dt.datetime.now(dt.UTC)), *models_dev_list.read(), *litellm_list.read(), *local_list.read(),
    ]  # fmt: skip
    read = time.perf_counter() - start
    catalogue = Catalogue(rows)
    loaded = time.perf_counter() - start
    report(
        "catalogue", "load and join", ours=loaded, baseline=read, unit="s", baseline_is="the same lists, read and not joined",
        rows=len(rows), models=len(catalogue.entries),
    )  # fmt: skip
    for what, wanted in SEARCHES.items():
        ours, p95 = quantiles([_timed(lambda wanted=wanted: search(catalogue, wanted)) for _ in range(RUNS)])
        words = wanted.words.split()
        baseline, _ = quantiles([_timed(lambda words=words: _scan(rows, words)) for _ in range(RUNS)])
        report(
            "catalogue", f"search: {what}", ours=ours, baseline=baseline, unit="ms",
            baseline_is="a scan of every row, words only", p95=round(p95, 3), budget=BUDGET_MS,
            found=len(search(catalogue, wanted).entries),
        )  # fmt: skip


def _scan(rows, words) -> int:
    return sum(all(each in f"{row.seller} {row.id} {row.title}".lower() for each in words) for row in rows)


def _timed(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
