"""Metadata filters: which chunks a search may rank.

`{"topic": "with"}` is equality, `{"topic": ["with", "try"]}` any of these, `{"year": {"$gte": 2020, "$lt": 2024}}` a range. All
fields must hold. A field that is itself a list holds when one of its values does. `document` is the document's id.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from tidemill.core.digests import canonical
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Chunk
from tidemill.core.suggest import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tidemill.data.rank import Mask

_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le,
}  # fmt: skip
OPERATORS = ("$eq", "$ne", "$in", "$nin", *_ORDERS, "$exists")
_MISSING = object()
_REMEMBERED = 64


class Fields:
    """The metadata of an index's chunks, column by column, so that a filter looks at each distinct value once."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = chunks
        self._names = {"document", *(name for chunk in chunks for name in chunk.metadata)}
        self._columns: dict[str, tuple[list[object], NDArray[np.int32]]] = {}
        self._masks: dict[bytes, Mask] = {}

    def mask(self, filter: JsonObject) -> Mask:  # noqa: A002  (the retrieve step's key)
        """Which chunks the filter lets through. Raises `Invalid` for an unknown field or operator."""
        key = canonical(filter)
        known = self._masks.get(key)
        if known is None:
            while len(self._masks) >= _REMEMBERED:
                self._masks.pop(next(iter(self._masks)))
            known = self._masks[key] = self._evaluate(filter)
        return known

    def _evaluate(self, filter: JsonObject) -> Mask:  # noqa: A002  (the retrieve step's key)
        import numpy as np  # noqa: PLC0415  (heavy)

        mask = np.ones(len(self._chunks), dtype=np.bool_)
        for name, condition in filter.items():
            if name not in self._names:
                raise Invalid(f"no chunk has the field {name!r}", where=f"filter.{name}", hint=did_you_mean(name, self._names))
            holds = compile_condition(condition, where=f"filter.{name}")
            values, codes = self._column(name)
            mask &= np.array([holds(each) for each in values], dtype=np.bool_)[codes]
        return mask

    def _column(self, name: str) -> tuple[list[object], NDArray[np.int32]]:
        import numpy as np  # noqa: PLC0415  (heavy)

        if name not in self._columns:
            values: list[object] = []
            places: dict[object, int] = {}
            codes = np.empty(len(self._chunks), dtype=np.int32)
            for position, chunk in enumerate(self._chunks):
                value: object = chunk.document if name == "document" else chunk.metadata.get(name, _MISSING)
                key = (type(value), value) if isinstance(value, str | int | float | bool | None) else repr(value)
                if key not in places:
                    places[key] = len(values)
                    values.append(value)
                codes[position] = places[key]
            self._columns[name] = values, codes
        return self._columns[name]


def compile_condition(condition: Json, *, where: str = "filter") -> Callable[[object], bool]:
    """A test of one field's value. Raises `Invalid` for an unknown operator or an operand that does not fit it."""
    if not isinstance(condition, Mapping):
        return _any_of(condition if _is_list(condition) else [condition])
    tests = [_operator(name, operand, where=where) for name, operand in condition.items()]
    return lambda value: all(test(value) for test in tests)


def _operator(name: str, operand: Json, *, where: str) -> Callable[[object], bool]:
    if name in {"$in", "$nin"}:
        if not _is_list(operand):
            raise Invalid(f"{name} needs a list, not {operand!r}", where=where)
        test = _any_of(operand)
        return test if name == "$in" else lambda value: not test(value)
    if name in {"$eq", "$ne"}:
        equal = _any_of([operand])
        return equal if name == "$eq" else lambda value: not equal(value)
    if name == "$exists":
        return lambda value: (value is not _MISSING) == bool(operand)
    if name in _ORDERS:
        if isinstance(operand, bool) or not isinstance(operand, int | float | str):
            raise Invalid(f"{name} needs a number or text, not {operand!r}", where=where)
        order = _ORDERS[name]
        return lambda value: any(_comparable(each, operand) and order(each, operand) for each in _each(value))
    raise Invalid(f"{name!r} is not a known operator", where=where, hint=did_you_mean(name, OPERATORS))


def _any_of(wanted: Json) -> Callable[[object], bool]:
    options = [_typed(each) for each in cast("Sequence[Json]", wanted)]
    return lambda value: any(_typed(each) in options for each in _each(value))


def _typed(value: object) -> tuple[str, object]:
    """So that true is not 1; while 1 and 1.0 are one number."""
    return ("boolean" if isinstance(value, bool) else "other", value)


def _each(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if _is_list(value) else (value,)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _comparable(value: object, operand: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, str) if isinstance(operand, str) else isinstance(value, int | float)
