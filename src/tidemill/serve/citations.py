"""Which passages an answer had before it: the outputs of a chain's retrieve steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tidemill.core.json import Json, JsonObject

_SHOWN: Final = ("id", "document", "headings", "start", "end", "score", "text")


def citations_of(spec: JsonObject, outputs: Mapping[str, Json]) -> list[JsonObject]:
    """One entry a passage, numbered as the prompt numbered them (`[1]` is the first passage of its step).

    `spec` is the chain's; `outputs` maps a step's id to what it gave.
    """
    found: list[JsonObject] = []
    for step in _retrieve_steps(spec.get("steps")):
        passages = outputs.get(step)
        if not isinstance(passages, Sequence) or isinstance(passages, str):
            continue
        for number, passage in enumerate(passages, start=1):
            if isinstance(passage, Mapping):
                shown = {name: passage[name] for name in _SHOWN if name in passage}
                found.append({"number": number, "step": step, **shown})
    return found


def _retrieve_steps(steps: Json) -> Iterator[str]:
    """The ids of retrieve steps, those inside branches too, in the order written."""
    for step in steps if isinstance(steps, Sequence) and not isinstance(steps, str) else ():
        if not isinstance(step, Mapping):
            continue
        if "retrieve" in step:
            yield str(step.get("id"))
        branches = step.get("branch")
        for branch in branches if isinstance(branches, Sequence) and not isinstance(branches, str) else ():
            if isinstance(branch, Mapping):
                yield from _retrieve_steps(branch.get("steps"))
