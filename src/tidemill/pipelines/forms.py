"""What a step can be: the keys of each form, what they name, and whether its output may be used again.

A form is one line here and one handler beside it. `version` is raised whenever the same inputs could give another output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Type: TypeAlias = Literal["ref", "name", "text", "list", "object", "number", "flag", "duration", "share", "any"]
"""`ref` is a versioned artifact of this project, held to the version that the pipeline was applied with; `name` one that is
looked up when the step runs (an endpoint, what a step makes)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One key of a form. A template may stand for any value; a step's whole output stands for its field `field`."""

    type: Type
    kinds: tuple[str, ...] = ()
    required: bool = False
    field: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """A step's form: `short` is the key that a bare text fills, as in `tune: tune/router`."""

    keys: Mapping[str, Key]
    short: str
    cached: bool = False
    with_inputs: bool = False
    version: str = "1"
    waits: bool = False
    """Whether it may wait long for a person or for traffic."""


_APPS: Final = ("chain", "agent", "prompt", "model", "route")
_APP: Final = Key(type="ref", kinds=(*_APPS, "release", "endpoint"), required=True, field="release")
_RELEASE: Final = Key(type="name", kinds=("release",), required=True, field="release")
_ENDPOINT: Final = Key(type="name", kinds=("endpoint",), required=True, field="endpoint")

FORMS: Final[Mapping[str, Form]] = {
    "python": Form(short="call", with_inputs=True, cached=True, keys={"call": Key(type="text", required=True)}),
    "run": Form(short="app", with_inputs=True, keys={"app": _APP}),
    "evaluate": Form(short="app", cached=True, keys={
        "app": _APP,
        "data": Key(type="ref", kinds=("dataset",), required=True, field="dataset"),
        "scorers": Key(type="list"),
        "n": Key(type="number"),
        "limit": Key(type="number"),
    }),
    "gate": Form(short="gate", keys={
        "gate": Key(type="ref", kinds=("gate",), required=True),
        "evaluation": Key(type="text", required=True, field="evaluation"),
        "against": Key(type="text", field="evaluation"),
        "must_pass": Key(type="flag"),
    }),
    "index": Form(short="index", keys={"index": Key(type="ref", kinds=("index",), required=True)}),
    "release": Form(short="app", keys={
        "app": Key(type="ref", kinds=_APPS, required=True),
        "using": Key(type="any", field="ref"),
    }),
    "deploy": Form(short="app", keys={"app": _APP, "endpoint": _ENDPOINT}),
    "monitor": Form(short="monitor", keys={
        "monitor": Key(type="ref", kinds=("monitor",), required=True), "window": Key(type="text"),
    }),
    "samples": Form(short="from", keys={
        "from": Key(type="text", field="run"),
        "to": Key(type="name", kinds=("dataset",), required=True),
        "filter": Key(type="text"),
        "q": Key(type="text"),
        "since": Key(type="text"),
        "until": Key(type="text"),
        "labelled": Key(type="flag"),
        "apart": Key(type="ref", kinds=("dataset",), field="dataset"),
        "pairs": Key(type="flag"),
        "limit": Key(type="number"),
    }),
    "tune": Form(short="tune", cached=True, keys={
        "tune": Key(type="ref", kinds=("tune",), required=True),
        "data": Key(type="ref", kinds=("dataset",), field="dataset"),
        "evaluate_on": Key(type="ref", kinds=("dataset",), field="dataset"),
        "output": Key(type="name", kinds=("model",)),
    }),
    "approve": Form(short="release", waits=True, keys={
        "release": _RELEASE,
        "role": Key(type="text"),
        "target": Key(type="text"),
        "timeout": Key(type="duration"),
    }),
    "rollout": Form(short="endpoint", keys={"endpoint": _ENDPOINT, "release": _RELEASE, "share": Key(type="share")}),
    "promote": Form(short="endpoint", waits=True, keys={
        "endpoint": _ENDPOINT,
        "rollout": Key(type="text", field="rollout"),
        "after": Key(type="text"),
        "timeout": Key(type="duration"),
    }),
}  # fmt: skip
