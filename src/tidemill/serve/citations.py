"""Which passages an answer had before it: the outputs of retrieve steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Bundle

_SHOWN: Final = ("id", "document", "headings", "start", "end", "score", "text")


def citations_of(bundle: Bundle, outputs: Mapping[str, Json]) -> list[JsonObject]:
    """One entry a passage, numbered as the prompt numbered them (`[1]` is the first passage of its step).

    `outputs` maps a step's id to what it gave; a nested chain's steps are `outer.inner`.
    """
    retrieving = {step for each in bundle.versions.values() if each.kind == "chain" for step in _retrieve_steps(each.spec)}
    found: list[JsonObject] = []
    for step, passages in outputs.items():
        if step.rpartition(".")[2] not in retrieving or not isinstance(passages, Sequence) or isinstance(passages, str):
            continue
        for number, passage in enumerate(passages, start=1):
            if isinstance(passage, Mapping):
                shown = {name: passage[name] for name in _SHOWN if name in passage}
                found.append({"number": number, "step": step, **shown})
    return found


def _retrieve_steps(owner: JsonObject) -> Iterator[str]:
    """The ids of the retrieve steps of a chain or a branch, with those of branches inside."""
    for step in _objects(owner.get("steps")):
        if "retrieve" in step:
            yield str(step.get("id"))
        for branch in _objects(step.get("branch")):
            yield from _retrieve_steps(branch)


def _objects(value: Json) -> Iterator[JsonObject]:
    for each in value if isinstance(value, Sequence) and not isinstance(value, str) else ():
        if isinstance(each, Mapping):
            yield each
