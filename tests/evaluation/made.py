"""Evaluations made by hand: scores by sample, as the harness would have kept them."""

from tidemill.evaluation.results import Evaluated, SampleResult


def evaluated(name="a", *, binary=False, metric="score", scorer="sha256:s", **columns):
    """`scores` by sample in order, or other columns of `SampleResult` (`error`, `reused`, `metadata` …); ids s0, s1 …"""
    count = max(len(each) for each in columns.values())
    columns = {key: [*each, *[None] * (count - len(each))] for key, each in columns.items()}
    results = [
        SampleResult(
            sample=f"s{number}",
            digest=f"d{number}",
            scores={metric: columns["scores"][number]} if "scores" in columns else {},
            metadata=columns["metadata"][number] if "metadata" in columns else {},
            **{key: each[number] for key, each in columns.items() if key not in {"scores", "metadata"}},
        )
        for number in range(count)
    ]
    return Evaluated(
        id=name, results=results, scorers={metric: scorer}, binary=frozenset({metric} if binary else ()), dataset="dataset/x@v1"
    )


def replicated(name, scores, **rest):
    """Several runs a sample: a list of scores for each; None is a run that failed."""
    results = [
        SampleResult(
            sample=f"s{number}", digest=f"d{number}", replicate=replicate, scores={} if value is None else {"score": value},
            error="it failed" if value is None else None,
        )
        for number, runs in enumerate(scores)
        for replicate, value in enumerate(runs)
    ]  # fmt: skip
    return Evaluated(id=name, results=results, scorers={"score": "sha256:s"}, **rest)
