"""A scorer of the user's own: any Python callable."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tidemill.core.errors import Invalid
from tidemill.core.json import Json
from tidemill.core.records import Score


@dataclass(frozen=True, kw_only=True)
class OwnScorer:
    """Calls `function` with the declared fields as keywords; it answers a number, true or false, or None for no score."""

    name: str
    reads: frozenset[str]
    function: Callable[..., Json]
    version: str
    binary: bool = False

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score by the function. What it raises is the score's error."""
        try:
            value = self.function(**fields)
            if inspect.isawaitable(value):
                value = await value
        except Exception as error:  # noqa: BLE001  (the user's code may raise anything; the sample keeps it)
            return Score(metric=self.name, value=None, error=f"{type(error).__name__}: {error}")
        if value is None:
            return Score(metric=self.name, value=None, error="the scorer gave no score")
        if not isinstance(value, bool | int | float):
            raise Invalid(f"scorer/{self.name} answered {value!r}", hint="Answer a number, True or False, or None.")
        return Score(metric=self.name, value=float(value))
