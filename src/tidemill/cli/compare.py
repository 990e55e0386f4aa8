"""`tidemill compare`: two evaluations, sample by sample, with uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from cyclopts import Parameter

from tidemill.cli.figures import count, counted, figure, interval
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.screen import Tone, say, say_json, wrapped
from tidemill.cli.table import Cell, Column, table
from tidemill.client.shapes import ComparedMetric, ComparisonJson, Verdict
from tidemill.core.errors import Invalid

_TONES: Mapping[Verdict, Tone] = {
    "better": "good",
    "worse": "bad",
    "undecided": "unsure",
    "no_worse": "quiet",
    "equivalent": "quiet",
}
Samples = Literal["better", "worse"]


async def compare(
    a: str,
    b: str,
    /,
    *,
    metric: tuple[str, ...] = (),
    margin: tuple[str, ...] = (),
    slice_: Annotated[str | None, Parameter(name="--slice")] = None,
    samples: Samples | None = None,
    options: Options = DEFAULTS,
) -> None:
    """Compare two evaluations on the samples that both have; B is better or worse than A.

    `undecided` means that no difference was shown, not that there is none.

    :param a: The evaluation to compare with, such as that of what is in production.
    :param b: The candidate's evaluation.
    :param metric: Only this metric; give it again for more.
    :param margin: METRIC=SIZE, a difference that does not matter: `no worse` and `equivalent` need one.
    :param slice_: Only samples with this FIELD=VALUE.
    :param samples: List the samples that got better or worse.
    """
    async with open_client(options) as client:
        comparison = await client.compare(a, b, metrics=metric, margins=_margins(margin), within=slice_)
    if options.json:
        say_json(comparison)
        return
    print_comparison(comparison, samples=samples, names=(a, b))


def print_comparison(comparison: ComparisonJson, *, samples: Samples | None, names: tuple[str, str]) -> None:
    """The table, and which samples moved."""
    metrics = comparison.get("metrics", {})
    most = max((each.get("n") or 0 for each in metrics.values()), default=0)
    dataset = comparison.get("dataset")
    say(f"{f'{dataset}, ' if dataset else ''}{counted(most, 'sample')}, paired")
    say()
    columns = [
        Column("metric"), Column("a", "point"), Column("b", "point"), Column("difference", "point"),
        Column("95% interval"), Column("p", "point"), Column("verdict"),
    ]  # fmt: skip
    for line in table(columns, [_row(name, each) for name, each in metrics.items()]):
        say(line)
    say()
    say(f"a {names[0]}   b {names[1]}")
    for name, each in metrics.items():
        _print_moved(name, each, samples)
    for text in comparison.get("notes", ()):
        for line in wrapped(text):
            say(line)


def _row(name: str, metric: ComparedMetric) -> Sequence[Cell | str]:
    verdict = metric.get("verdict", "undecided")
    said = verdict.replace("_", " ") + _why(metric, verdict)
    p_value = metric.get("p_value")
    return [
        name,
        figure(name, metric.get("a")),
        figure(name, metric.get("b")),
        figure(name, metric.get("difference"), signed=True),
        interval(name, metric.get("interval"), signed=True),
        "-" if p_value is None else "<0.001" if p_value < 0.001 else f"{p_value:.3f}",
        Cell(said, _TONES.get(verdict, "plain")),
    ]


def _why(metric: ComparedMetric, verdict: Verdict) -> str:
    reason = metric.get("reason")
    if not reason or verdict in {"better", "worse"}:  # the interval and p say so already
        return ""
    return f": {reason}" if verdict == "undecided" else f" ({reason})"


def _margins(given: Sequence[str]) -> dict[str, float]:
    margins = dict[str, float]()
    for each in given:
        name, _, size = each.partition("=")
        try:
            margins[name] = float(size)
        except ValueError as error:
            raise Invalid(f"the margin {each!r} is not METRIC=SIZE", hint="Write --margin token_f1=0.05") from error
    return margins


def _print_moved(name: str, metric: ComparedMetric, samples: Samples | None) -> None:
    for side in ("worse", "better"):
        moved = metric.get(side)
        ids = [] if moved is None or isinstance(moved, int) else [str(each) for each in moved]
        number = moved if isinstance(moved, int) else len(ids)
        if not number or (samples is not None and side != samples):
            continue
        shown = ids if samples == side else ids[:8]
        rest = f" and {count(number - len(shown))} more: --samples {side}" if ids and number > len(shown) else ""
        for place, line in enumerate(wrapped(f"Got {side} ({number}) on {name}: {' '.join(shown)}".rstrip(": ") + rest)):
            say(line if place == 0 else f"  {line}")


COMMAND = compare
