"""A monitor's run on the screen: the verdict, the tests, what moved, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from tidemill.cli.figures import NOTHING, count, counted, moment, short
from tidemill.cli.screen import Tone, clean, one_line, paint, say, width
from tidemill.cli.table import Cell, Column, table
from tidemill.core.json import JsonObject

_WORDS: Mapping[str, tuple[str, Tone]] = {
    "drift": ("drift", "bad"),
    "no_drift_shown": ("no drift shown", "plain"),
    "undecidable": ("undecidable", "unsure"),
}
_TONES: Mapping[str, Tone] = {"done": "good", "failed": "bad", "skipped": "unsure", "pending": "unsure"}
_TOPICS, _PROPOSED, _BUCKETS = 8, 10, 24


def verdict_cell(run: JsonObject) -> Cell:
    """The verdict in words; the status while there is none."""
    text, tone = _WORDS.get(str(run.get("verdict")), (str(run.get("status")), "plain"))
    return Cell(text, tone)


def print_run(run: JsonObject) -> None:
    """All that a run found."""
    found = cast("Mapping[str, Any]", run)
    drift: Mapping[str, Any] | None = found.get("drift")
    say(f"run {found['id']}  {found['monitor'] or 'asked for once'}")
    if found.get("status") != "done":
        say(f"  {found.get('status')}  {clean(found.get('error') or '')}".rstrip())
        return
    window: Mapping[str, Any] = found["window"]
    against = f" against {found['reference']['what']} ({count(found['reference']['n'])})" if "reference" in found else ""
    say(f"{found['target']}, {found['reads']} of {counted(window['n'], 'request')}{against}")
    say(f"{moment(found, 'from')} to {moment(found, 'to')}, {counted(window['errors'], 'error')}")
    if drift:
        _print_drift(drift)
    _print_topics(found.get("topics") or ())
    _print_moved(found.get("moved") or {})
    _print_quality(found.get("quality"))
    _print_proposals(found)
    for each in found.get("notes") or ():
        say(f"{'Note':<10}{each}")
    for rule in found.get("rules") or ():
        _print_rule(rule)


def _print_drift(drift: Mapping[str, Any]) -> None:
    word, tone = _WORDS[drift["verdict"]]
    say()
    say(f"{paint(word, tone)}  {drift['reason']}")
    rows = [
        [name, f"{each['statistic']:.4g}", _p(each["p_value"]), _p(each["p_corrected"]),
         Cell("differs", "bad") if each["alarm"] else Cell("no", "quiet"), each["method"]]
        for name, each in drift["tests"].items()
    ]  # fmt: skip
    if rows:
        columns = [Column("test"), Column("statistic", "point"), Column("p", "point"), Column("p (Holm)", "point"),
                   Column("shown"), Column("method")]  # fmt: skip
        for line in table(columns, rows):
            say(line)
    rate = drift.get("false_alarms")
    if rate:
        low, high = rate["interval"]
        say(f"False alarms  {rate['rate']:.1%} [{low:.1%}, {high:.1%}] of {count(rate['splits'])} splits of the reference"
            f" ({rate['sizes'][0]} and {rate['sizes'][1]}); at most {drift['alpha']:.0%} is meant")  # fmt: skip
    elif rows:
        say("False alarms  not measured: the reference is too small to split")


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.1e}"


def _print_topics(topics: Sequence[Mapping[str, Any]]) -> None:
    moved = [each for each in topics if each["change"] != "same"][:_TOPICS]
    if not moved:
        return
    say()
    rows = [
        [Cell(each["change"], "unsure"), f"{each['share_then']:.1%}", f"{each['share_now']:.1%}",
         f"[{each['interval'][0]:+.1%}, {each['interval'][1]:+.1%}]", " ".join(each["words"])]
        for each in moved
    ]  # fmt: skip
    columns = [
        Column("topic"),
        Column("then", "point"),
        Column("now", "point"),
        Column("95% interval"),
        Column("typical words"),
    ]
    for line in table(columns, rows):
        say(line)
    for each in moved:
        if each["change"] in {"new", "up"}:
            for example in each["examples"][:2]:
                say(f"  {each['change']}: {one_line(example['text'], longest=width() - 24)}  {_trace(example)}".rstrip())


def _trace(example: Mapping[str, Any]) -> str:
    return str(example["trace"])[-8:] if example.get("trace") else ""


def _print_moved(moved: Mapping[str, Any]) -> None:
    if not moved:
        return
    say()
    told = ", ".join(f"{each['word']} {each['then']:.0%} -> {each['now']:.0%}" for each in moved["words"][:5])
    say(f"{'Words':<10}{told}")
    changed = [each for each in moved["languages"] if each["interval"][0] > 0 or each["interval"][1] < 0]
    if changed:
        told = ", ".join(f"{each['language']} {each['then']:.0%} -> {each['now']:.0%}" for each in changed)
        say(f"{'Languages':<10}{told}")
    then, now = moved["tokens"]["then"], moved["tokens"]["now"]
    say(f"{'Tokens':<10}median {then['p50']:g} -> {now['p50']:g}, 90th percentile {then['p90']:g} -> {now['p90']:g}")


def _print_quality(quality: Mapping[str, Any] | None) -> None:
    if quality is None:
        return
    say()
    say(f"{'Scored':<10}{counted(quality['sampled'], 'trace')} ({quality['share']:.0%} by their ids), {quality['fresh']} now")
    for name, each in quality["metrics"].items():
        say(f"  {name}  {_mean(each)}")


def _mean(each: Mapping[str, Any]) -> str:
    if each["mean"] is None:
        return (
            f"{NOTHING}  {counted(each['errors'], 'trace')} without a score: {each.get('error')}" if each["errors"] else NOTHING
        )
    spread = f"  [{each['interval'][0]:.3f}, {each['interval'][1]:.3f}]" if each["interval"] else ""
    return f"{each['mean']:.3f}{spread}  n {count(each['n'])}"


def _print_proposals(run: Mapping[str, Any]) -> None:
    proposed = run.get("proposals") or ()
    if not proposed:
        return
    say()
    say(f"{counted(len(proposed), 'sample')} proposed for the evaluation set")
    for each in proposed[:_PROPOSED]:
        text = each["text"]
        taken = f"  in {each['accepted_into']}" if each["accepted_into"] else ""
        say(f"  {each['id']:>3}  {one_line(text, longest=width() - 34)}  {each['trace'][-8:]}{taken}")
    if len(proposed) > _PROPOSED:
        say(f"       and {len(proposed) - _PROPOSED} more")
    if not all(each["accepted_into"] for each in proposed):
        say(f"{'Next':<10}tidemill monitor accept {run['id']} --to dataset/NAME")


def _print_rule(rule: Mapping[str, Any]) -> None:
    if rule["holds"]:
        say(f"{paint('Alert', 'bad'):<10}{rule['name'] or rule['when']}: tidemill alerts list")
    elif rule["holds"] is None:
        say(f"{'Rule':<10}{rule['name'] or rule['when']} could not be decided: {rule['reason']}")


def print_monitor(monitor: JsonObject) -> None:
    """A monitor, its newest runs, and the trend of its live scores."""
    found = cast("Mapping[str, Any]", monitor)
    spec = found["spec"]
    say(f"{found['ref']}  watches {spec.get('endpoint') or short(spec.get('release'))}"
        + (f" against {spec['reference']}" if "reference" in spec else ""))  # fmt: skip
    if spec.get("schedule"):
        say(f"{'Schedule':<10}{spec['schedule']}")
    say(f"{'Alerts':<10}{found['open_alerts']} open")
    rows = [[str(each["id"]), verdict_cell(each), moment(each, "created")] for each in found["runs"]]
    if rows:
        say()
        for line in table([Column("run"), Column("verdict"), Column("when")], rows):
            say(line)
    trend: Mapping[str, Sequence[Mapping[str, Any]]] = found["quality"]["trend"] if "quality" in found else {}
    for metric, buckets in trend.items():
        say()
        rows = [[moment(each, "from"), *_bucket(each)] for each in buckets[-_BUCKETS:]]
        columns = [Column(metric), Column("mean", "point"), Column("95% interval"), Column("n", "right")]
        for line in table(columns, rows) if rows else [f"{metric}  no live score yet"]:
            say(line)


def _bucket(each: Mapping[str, Any]) -> list[str]:
    spread = f"[{each['interval'][0]:.3f}, {each['interval'][1]:.3f}]" if each["interval"] else NOTHING
    return [NOTHING if each["mean"] is None else f"{each['mean']:.3f}", spread, count(each["n"])]


def action_cell(action: Mapping[str, Any]) -> Cell:
    """What became of something that an alert set off."""
    status = str(action["status"])
    return Cell(f"{action['kind']} {status}", _TONES.get(status, "plain"))
