"""A run of a pipeline as a tree of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tidemill.cli.figures import as_text, duration, moment, short
from tidemill.cli.screen import Tone, clean, one_line, paint, width, wrapped

if TYPE_CHECKING:
    from tidemill.client.pipelines import PipelineRunJson, StepJson

STATUS_TONES: Mapping[str, Tone] = {
    "done": "good", "failed": "bad", "blocked": "bad", "cancelled": "unsure", "waiting": "unsure", "skipped": "quiet",
    "pending": "quiet",
}  # fmt: skip


def run_tree(run: PipelineRunJson, *, full: bool = False) -> Iterator[str]:
    """The run's own line, then its steps."""
    status = run.get("status", "")
    pieces = [
        paint(run.get("version", ""), "strong"),
        short(run.get("digest")),
        f"run {run.get('id')}",
        paint(status, STATUS_TONES.get(status, "plain")),
        duration(run.get("duration_ms")) if run.get("ended") else "",
    ]
    yield "  ".join(each for each in pieces if each)
    yield paint(f"   {run.get('trigger')} by {run.get('who')}, {moment(run, 'created')}", "quiet")
    inputs = run.get("inputs") or {}
    if inputs:
        yield f"   inputs  {one_line(as_text(inputs), longest=width() - 11)}"
    steps = run.get("steps", ())
    for number, step in enumerate(steps):
        last = number == len(steps) - 1
        yield f"{'└─' if last else '├─'} {step_line(step, steps)}"
        yield from _below(step, indent="     " if last else "│    ", full=full)


def step_line(step: StepJson, steps: Sequence[StepJson]) -> str:
    """`evaluate  evaluate  done  1.20 s  sha256:4be1…  used again`."""
    names = max(len(each.get("id", "")) for each in steps)
    kinds = max(len(each.get("kind", "")) for each in steps)
    status = step.get("status", "")
    attempt = step.get("attempt") or 0
    pieces = [
        f"{step.get('id', ''):<{names}}",
        f"{step.get('kind', ''):<{kinds}}",
        paint(f"{status:<9}", STATUS_TONES.get(status, "plain")),
        f"{duration(step.get('duration_ms')) if step.get('ended') and step.get('started') else '':>8}",
        short(step.get("digest")) if step.get("digest") else "",
        "used again" if step.get("cached") else "",
        f"attempt {attempt}" if attempt > 1 else "",
    ]
    kept = [each for each in pieces if each.strip()] if not step.get("digest") else pieces
    line = "  ".join(each for each in kept if each).rstrip()
    note = step.get("note")
    return f"{line}  {clean(note)}" if note and status in {"waiting", "blocked", "skipped"} else line


def _below(step: StepJson, *, indent: str, full: bool) -> Iterator[str]:
    if step.get("error"):
        yield from (paint(line, "bad") for line in wrapped(clean(step.get("error") or ""), indent=indent))
    elif step.get("status") == "running" and step.get("note"):
        yield from wrapped(clean(step.get("note") or ""), indent=indent)
    for name in ("inputs", "output") if full else ():
        value = step.get(name)
        if value is not None:
            yield from wrapped(f"{name}  {clean(as_text(value))}", indent=indent)
