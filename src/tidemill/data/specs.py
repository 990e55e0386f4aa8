"""What a dataset's and an index's document may say, checked at the edge."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import JsonObject
from tidemill.core.suggest import did_you_mean

SearchMode: TypeAlias = Literal["vector", "fulltext", "hybrid"]
RowFormat: TypeAlias = Literal["csv", "tsv", "jsonl", "json", "parquet"]


class Strict(BaseModel):
    """Unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class RolesSpec(Strict):
    """Which column plays which part. `input` may name several columns; a sample's input is then an object of them."""

    input: str | list[str] | None = None
    reference: str | None = None
    context: str | None = None
    gold: str | None = None
    id: str | None = None


class DatasetSpec(Strict):
    """`kind: dataset`: rows in a file (`path`) or inline (`rows`), and the roles of their columns."""

    path: str | None = None
    format: RowFormat | None = None
    rows: list[dict[str, object]] | None = None
    roles: RolesSpec = RolesSpec()


class SourceSpec(Strict):
    """Where documents come from: a folder of files, or a mapping that a Python module holds."""

    folder: str | None = None
    include: list[str] = []
    exclude: list[str] = []
    python: str | None = None
    format: str | None = None


def _as_source(value: object) -> object:
    """`source: docs/` is short for `source: {folder: docs/}`."""
    return {"folder": value} if isinstance(value, str) else value


class ChunkSpec(Strict):
    """How documents are cut. Sizes in characters."""

    strategy: str = "structure"
    max_chars: Annotated[int, Field(ge=100, le=100_000)] = 1200
    min_chars: Annotated[int, Field(ge=0, le=100_000)] = 200
    overlap: Annotated[int, Field(ge=0, le=50_000)] = 0


class SearchSpec(Strict):
    """How it is searched when the retrieve step does not say."""

    mode: SearchMode | None = None
    k: Annotated[int, Field(ge=1, le=1000)] = 6


class IndexSpec(Strict):
    """`kind: index`."""

    source: Annotated[SourceSpec, BeforeValidator(_as_source)]
    chunk: ChunkSpec = ChunkSpec()
    embed: str | None = None
    search: SearchSpec = SearchSpec()


SpecT = TypeVar("SpecT", bound=Strict)


def read_spec(model: type[SpecT], body: JsonObject) -> SpecT:
    """Check a document's body. Raises `Invalid` with one problem a mistake, each naming its place in the body."""
    try:
        return model.model_validate(dict(body))
    except ValidationError as error:
        problems = list({each.where: each for each in (_problem(model, detail) for detail in error.errors())}.values())
    first, *rest = problems
    raise Invalid(first.message, where=first.where, hint=first.hint, problems=(first, *rest))


def _problem(model: type[Strict], detail: ErrorDetails) -> Problem:
    place = [str(each) for each in detail["loc"] if each not in {"str", "list[str]"}]
    where = ".".join(place)
    if detail["type"] == "extra_forbidden":
        return Problem(
            message=f"unknown key {place[-1]!r}", where=where, hint=did_you_mean(place[-1], _keys(model, place[:-1]))
        )
    if detail["type"] == "missing":
        return Problem(
            message=f"{place[-1]!r} is missing", where=where, hint=f"Known keys: {', '.join(_keys(model, place[:-1]))}."
        )
    value = repr(detail["input"])
    shown = value if len(value) <= 80 else value[:77] + "…"
    return Problem(message=f"{shown} is wrong here: {detail['msg'][:1].lower()}{detail['msg'][1:]}", where=where)


def _keys(model: type[Strict], place: list[str]) -> list[str]:
    for name in place:
        field = model.model_fields.get(name)
        nested = [each for each in _classes(field.annotation) if issubclass(each, Strict)] if field else []
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)


def _classes(annotation: object) -> list[type]:
    members = cast("tuple[object, ...]", getattr(annotation, "__args__", ())) or (annotation,)
    return [each for each in members if isinstance(each, type)]
