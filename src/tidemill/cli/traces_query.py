"""`tidemill traces query`, `top` and `compare`: numbers of what ran."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from tidemill.cli import figures
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.progress import follow_job
from tidemill.cli.screen import Tone, one_line, say, say_json
from tidemill.cli.table import Cell, Column, table
from tidemill.core.errors import Invalid

if TYPE_CHECKING:
    from tidemill.client.number_shapes import AskedJson, ComparedNumbersJson, DifferenceJson, PointJson, SeriesJson

_USUAL: Final = ("requests", "error_rate", "latency.p95", "cost")
_OF_CALLS: Final = ("count", "error_rate", "tokens", "latency.p95", "cost")
_OF_SPANS: Final = ("count", "error_rate", "latency.p95", "cost")
_ABOUT_CALLS: Final = re.compile(r"\b(model|provider)\b")
_ABOUT_SPANS: Final = re.compile(r"\b(kind|name|step|scope|dialect|finish_reason)\b")
_TOP: Final = ("cost", "error_rate")
_TIME: Final = re.compile(r"\d+(\.\d+)?[smhdw]|\d{4}-\d\d-\d\d([T ][^.]*)?")
_BARS: Final = "▁▂▃▄▅▆▇█"
_WIDEST: Final = 48
_TONES: Final[Mapping[str, Tone]] = {"better": "good", "worse": "bad"}


async def query(  # noqa: PLR0913  (each is a part of the question)
    *,
    measure: tuple[str, ...] = (),
    by: tuple[str, ...] = (),
    interval: str = "none",
    from_: str = "24h",
    to: str | None = None,
    of: str | None = None,
    filter: str | None = None,  # noqa: A002  (the API's name)
    order: str | None = None,
    zone: str = "UTC",
    limit: int = 20,
    options: Options = DEFAULTS,
) -> None:
    """Measure what ran: totals, rates, quantiles and scores, by any dimension and over time.

    :param measure: What: requests, cost, latency.p95, score.NAME, metric.NAME.sum, …; else what suits.
    :param by: By what: model, user, endpoint, release, tag.NAME, any attribute.
    :param interval: A series: minute, hour, day, or auto.
    :param from_: A time, or so long ago.
    :param to: A time, or so long ago; else now.
    :param of: Of requests, calls (of models) or spans; else what it is by.
    :param filter: Only spans that meet this expression.
    :param order: A measure; with "-" before it the largest first.
    :param zone: The time zone of days.
    :param limit: At most N groups.
    """
    asked = measure or usual_measures(by, of, filter)
    async with open_client(options) as client:
        found = await client.query_numbers(
            asked, by=by, of=of, interval=interval, from_=from_, to=to, zone=zone, filter=filter, order=order, limit=limit
        )
    if options.json:
        say_json(found)
        return
    say_found = _say_totals if found["interval"] == "none" else _say_series
    say_found(found["by"], found["measures"], found["series"])
    _say_about(found, more=found["groups"] - len(found["series"]))


async def top(
    *,
    by: str = "cost",
    of: str = "user",
    from_: str = "24h",
    to: str | None = None,
    filter: str | None = None,  # noqa: A002  (the API's name)
    limit: int = 10,
    options: Options = DEFAULTS,
) -> None:
    """Show what has most of a measure: users, models, endpoints or releases by cost, latency, errors.

    :param by: The measure: cost, requests, errors, tokens, latency.p95, …
    :param of: What is ranked: user, model, endpoint, release, or any dimension.
    :param from_: A time, or so long ago.
    :param to: A time, or so long ago; else now.
    :param filter: Only spans that meet this expression.
    :param limit: At most N.
    """
    names = tuple(dict.fromkeys((by, *_TOP, usual_measures((of,), None, filter)[0])))
    async with open_client(options) as client:
        found = await client.query_numbers(names, by=(of,), from_=from_, to=to, filter=filter, order=f"-{by}", limit=limit)
    if options.json:
        say_json(found)
        return
    _say_totals(found["by"], found["measures"], found["series"])
    _say_about(found, more=found["groups"] - len(found["series"]))


async def compare(
    a: str,
    b: str,
    /,
    *,
    measure: tuple[str, ...] = (),
    by: tuple[str, ...] = (),
    from_: str = "24h",
    filter: str | None = None,  # noqa: A002  (the API's name)
    limit: int = 10,
    options: Options = DEFAULTS,
) -> None:
    """Compare two releases, or two times written FROM..TO: differences, their intervals, what they show.

    :param a: A release, or a time: 48h..24h.
    :param b: The other, as in 24h..0s.
    :param measure: What is compared; else what suits what it is by.
    :param by: Compare each group: model, endpoint, …
    :param from_: Since when two releases are compared.
    :param filter: Only spans that meet this expression.
    :param limit: At most N groups.
    """
    times = [_times(each) for each in (a, b)]
    usual = usual_measures(by, None, filter)
    measure = measure or (usual if usual != _USUAL else (*_USUAL, "cost_per_request"))
    async with open_client(options) as client:
        if times[0] is not None and times[1] is not None:
            found = await client.compare_numbers(
                measure, before=times[0], from_=times[1][0], to=times[1][1], by=by, filter=filter, limit=limit
            )
        elif times[0] is None and times[1] is None:
            found = await client.compare_numbers(measure, releases=(a, b), from_=from_, by=by, filter=filter, limit=limit)
        else:
            raise Invalid(
                f"{a!r} and {b!r} are a time and a release", hint="Give two releases, or two times: 48h..24h 24h..0s."
            )
    if options.json:
        say_json(found)
        return
    _say_compared(found)


def usual_measures(by: Sequence[str], of: str | None, filter: str | None) -> tuple[str, ...]:  # noqa: A002  (the API's name)
    """The measures of what is asked about: requests have no model, and calls of models are no requests."""
    about = " ".join((*by, filter or ""))
    if of == "calls" or (of is None and _ABOUT_CALLS.search(about)):
        return _OF_CALLS
    return _OF_SPANS if of == "spans" or (of is None and _ABOUT_SPANS.search(about)) else _USUAL


def _say_compared(found: ComparedNumbersJson) -> None:
    for each in found["items"]:
        if each["by"]:
            say(", ".join(f"{name} {value or '(none)'}" for name, value in each["by"].items()))
        for line in _differences(each["measures"]):
            say(line)
        say()
    a, b = found["a"], found["b"]
    say("   ".join(f"{name}  {side['from'][:16]} to {side['to'][:16]}" for name, side in (("a", a), ("b", b))))
    _say_about(found["b"], more=found["groups"] - len(found["items"]))


async def reprice(
    *,
    model: str = "*",
    from_: str,
    to: str | None = None,
    overrule: bool = False,
    dry_run: bool = False,
    options: Options = DEFAULTS,
) -> None:
    """Make costs anew after a price was corrected; the numbers follow.

    :param model: Of which models; * stands for anything.
    :param from_: Since when: a time, or so long ago.
    :param to: Until when; else now.
    :param overrule: Also what the sender gave a cost, which is kept beside the new one.
    :param dry_run: Only say what would change.
    """
    async with open_client(options) as client:
        job = await client.reprice(model, from_=from_, to=to, overrule=overrule, dry_run=dry_run)
        ended = await follow_job(client, job, label="making costs anew", quiet=options.json)
    result = cast("Mapping[str, float]", ended.get("result") or {})
    if options.json:
        say_json(result)
        return
    did = "would change" if dry_run else "changed"
    say(f"{did}   {figures.counted(int(result['changed']), 'span')} of {result['spans']:,.0f}")
    say(f"cost     {figures.money(result['before'])} -> {figures.money(result['after'])}")
    if result["kept"]:
        say(f"kept     {figures.counted(int(result['kept']), 'cost')} that the sender gave: --overrule takes them too")
    if result["unpriced"]:
        say(f"no price {figures.counted(int(result['unpriced']), 'span')}: add one under `prices` of the telemetry document")


def _times(text: str) -> tuple[str, str] | None:
    start, dots, end = text.partition("..")
    if _TIME.fullmatch(text):
        raise Invalid(f"{text} is a time without an end", hint="Type: tidemill traces compare 48h..24h 24h..0s")
    return (start, end) if dots and start and end else None


def _say_totals(by: Sequence[str], names: Sequence[str], series: Sequence[SeriesJson]) -> None:
    columns = [*map(Column, by), *(Column(name, "point") for name in names)]
    rows = [
        [*_labels(by, each), *(_with_interval(name, each["points"][0]) for name in names)] for each in series if each["points"]
    ]
    for line in table(columns, rows) if rows else ["nothing ran then"]:
        say(line)


def _with_interval(name: str, point: PointJson) -> str:
    around = point["intervals"].get(name)
    value = _figure(name, point["values"][name])
    return f"{value} [{_figure(name, around[0])}, {_figure(name, around[1])}]" if around else value


def _say_series(by: Sequence[str], names: Sequence[str], series: Sequence[SeriesJson]) -> None:
    for name in names:
        rows = [
            [
                *_labels(by, each),
                _bars([point["values"][name] for point in each["points"]]),
                *(_figure(name, value) for value in _ends([point["values"][name] for point in each["points"]])),
            ]
            for each in series
        ]
        columns = [*map(Column, by), Column(name), Column("least", "point"), Column("most", "point"), Column("last", "point")]
        for line in table(columns, rows) if rows else [f"{name}: nothing ran then"]:
            say(line)


def _bars(values: Sequence[float | None]) -> str:
    """A line of bars from zero to the largest value; a space where there is none."""
    size = min(_WIDEST, len(values))
    pieces = [values[len(values) * at // size : len(values) * (at + 1) // size] for at in range(size)]
    means = [_mean([each for each in piece if each is not None]) for piece in pieces]
    largest = max((each for each in means if each is not None), default=0.0)
    return "".join(" " if each is None else _BARS[min(7, int(each / largest * 7.999)) if largest else 0] for each in means)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _ends(values: Sequence[float | None]) -> tuple[float | None, float | None, float | None]:
    known = [each for each in values if each is not None]
    return min(known, default=None), max(known, default=None), values[-1] if values else None


def _labels(by: Sequence[str], series: SeriesJson) -> list[str]:
    return [one_line(series["by"][name], longest=32) or "(none)" for name in by]


def _differences(measures: Mapping[str, DifferenceJson]) -> list[str]:
    columns = [
        Column("measure"), Column("a", "point"), Column("b", "point"), Column("difference", "point"),
        Column("95% interval"), Column("verdict"),
    ]  # fmt: skip
    rows: list[list[Cell | str]] = []
    for name, each in measures.items():
        around = each["interval"]
        low, high = (_figure(name, bound, signed=True) for bound in around) if around else ("", "")
        rows.append(
            [
                name, _figure(name, each["a"]), _figure(name, each["b"]), _figure(name, each["difference"], signed=True),
                f"[{low}, {high}]" if around else "too few", Cell(each["verdict"], _TONES.get(each["verdict"], "quiet")),
            ]
        )  # fmt: skip
    return table(columns, rows)


def _figure(name: str, value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return figures.NOTHING
    sign = ("+" if value > 0 else "-" if value < 0 else "") if signed else "-" if value < 0 else ""
    size = abs(value)
    if "cost" in name:
        return sign + figures.money(size)
    if name.startswith(("latency", "first_token")):
        return sign + figures.duration(size)
    if name == "error_rate":
        return f"{sign}{size * 100:.2f} %"
    if name.startswith("score."):
        return f"{sign}{size:.3f}"
    is_whole = size >= 1000 or size == int(size) or not name.startswith("metric.")
    return f"{sign}{size:,.0f}" if is_whole else f"{sign}{size:.4g}"


def _say_about(found: AskedJson, *, more: int) -> None:
    parts = [f"of {found['of']}", f"{found['from'][:16]} to {found['to'][:16]} {found['zone']}", f"from {found['source']}"]
    if found["sampled"]:
        parts.append("estimated from a sample")
    if more > 0:
        parts.append(f"{more} more: --limit")
    say("   ".join(parts))


NUMBERS: Final = {"query": query, "top": top, "compare": compare, "reprice": reprice}
