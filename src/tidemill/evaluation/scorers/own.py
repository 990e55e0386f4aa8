"""A scorer of the user's own: any Python callable."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import anyio.to_thread

from tidemill.core.json import Json
from tidemill.core.records import Score


@dataclass(frozen=True, kw_only=True)
class OwnScorer:
    """Calls `function` with the declared fields as keywords; it answers a number, true or false, or None for no score.

    A plain function runs on a thread, so that it may take its time.
    """

    name: str
    reads: frozenset[str]
    function: Callable[..., object]
    version: str
    binary: bool = False

    async def score(self, fields: Mapping[str, Json]) -> Score:
        """Score by the function. What it raises, and an answer that is no number, is the score's error."""
        try:
            value = await self._call(fields)
        except Exception as error:  # noqa: BLE001  (the user's code may raise anything; the sample keeps it)
            return Score(metric=self.name, value=None, error=f"{type(error).__name__}: {error}")
        if value is None:
            return Score(metric=self.name, value=None, error="the scorer gave no score")
        if not isinstance(value, numbers.Real) or not math.isfinite(value):
            told = f"scorer/{self.name} answered {value!r}; it should be a finite number, True or False, or None"
            return Score(metric=self.name, value=None, error=told)
        return Score(metric=self.name, value=float(value))

    async def _call(self, fields: Mapping[str, Json]) -> object:
        if inspect.iscoroutinefunction(self.function):
            return await self.function(**fields)
        value = await anyio.to_thread.run_sync(functools.partial(self.function, **fields), abandon_on_cancel=True)
        return await value if inspect.isawaitable(value) else value
