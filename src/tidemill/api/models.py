"""Models: the project's own, and the catalogue that the installed lists make up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Query
from pydantic import Field
from sqlalchemy import Connection as Database

from tidemill.api.artifacts import version_json
from tidemill.api.caller import AnyCaller, Body, Caller, Limit, Page, page
from tidemill.api.router import Router
from tidemill.core.errors import Invalid
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.models.catalogue import Catalogue, Entry, load_catalogue
from tidemill.models.catalogue_card import card, sources, summary
from tidemill.models.catalogue_names import seller_of
from tidemill.models.catalogue_search import Wanted, facet_names, search
from tidemill.models.configured import entry_of, is_wanted, own_summary
from tidemill.store import registry

router = Router(tags=["models"])
_KINDS = ("model", "embedder")
_MOST_OWN = 1000


class Asked(Body):
    """What to look for; all of it must hold.

    `max_price` is in US dollars for a million input tokens, `min_context` in tokens; `configured` leaves the catalogue out.
    """

    q: str = ""
    provider: list[str] = Field(default_factory=list[str])
    maker: list[str] = Field(default_factory=list[str])
    type: list[str] = Field(default_factory=list[str])
    modality: list[str] = Field(default_factory=list[str])
    feature: list[str] = Field(default_factory=list[str])
    licence: list[str] = Field(default_factory=list[str])
    max_price: float | None = Field(None, ge=0, allow_inf_nan=False)
    min_context: int | None = Field(None, ge=0)
    configured: bool = False
    limit: Limit = 100
    cursor: str | None = None


@router.get("/models")
async def list_models(call: AnyCaller, asked: Annotated[Asked, Query()]) -> Page:
    """The project's models and embedders, then those of the catalogue, that have all that is asked for; counted by facet."""
    catalogue = await anyio.to_thread.run_sync(load_catalogue)
    wanted = _wanted(asked, catalogue)
    own = [each for each in await _own(call) if is_wanted(each, wanted, catalogue)]
    found = await anyio.to_thread.run_sync(search, catalogue, wanted)
    items: list[Version | Entry] = [*own, *(() if asked.configured else found.entries)]
    start = _start(asked.cursor, own, found.entries)
    shown = items[start : start + asked.limit]
    following = _place(shown[-1]) if shown and start + len(shown) < len(items) else None
    return page([_item(each, catalogue) for each in shown], following) | {
        "total": len(items), "facets": found.facets, "sources": sources(catalogue),
    }  # fmt: skip


@router.get("/models/{name:path}")
async def get_model(call: AnyCaller, name: str, provider: str | None = None) -> dict[str, Any]:
    """A model's card under any of its names: every claim with source and date, which one won, and the spec to use it by."""
    catalogue = await anyio.to_thread.run_sync(load_catalogue)
    urls = await anyio.to_thread.run_sync(_base_urls)
    if name.partition("/")[0] in _KINDS:
        own = await call.platform.database.read(lambda db: registry.get_version(db, call.project, parse_ref(name)))
        entry = entry_of(own, catalogue)
        known = {} if entry is None else card(entry, catalogue, urls=urls)
        return {**known, **_item(own, catalogue), "use": own.ref}
    entry = catalogue.get(name)
    project = [each.ref for each in await _own(call) if entry_of(each, catalogue) is entry]
    return {**card(entry, catalogue, urls=urls, seller=provider), "project": project}


def _base_urls() -> Mapping[str, str]:
    from tidemill.models.providers.models_dev_list import base_urls  # noqa: PLC0415  (read when a card is asked for)

    return base_urls()


def _wanted(asked: Asked, catalogue: Catalogue) -> Wanted:
    """What is looked for. Raises `Invalid` for a value of a facet that no model has, with the nearest that one has."""
    for facet, values in (
        ("type", asked.type), ("modality", asked.modality), ("feature", asked.feature), ("licence", asked.licence),
        ("maker", asked.maker), ("provider", list(map(seller_of, asked.provider))),
    ):  # fmt: skip
        known = facet_names(catalogue, facet)
        for value in values:
            if value not in known and not (facet == "provider" and value == "test"):
                raise Invalid(f"no model has the {facet} {value!r}", where=facet, hint=did_you_mean(value, known))
    return Wanted(
        words=asked.q,
        providers=frozenset(asked.provider),
        makers=frozenset(asked.maker),
        types=frozenset(asked.type),
        modalities=frozenset(asked.modality),
        features=frozenset(asked.feature),
        licences=frozenset(asked.licence),
        max_price=asked.max_price,
        min_context=asked.min_context,
    )


async def _own(call: Caller) -> Sequence[Version]:
    """The latest version of each of the project's models and embedders."""

    def work(db: Database) -> list[Version]:
        pages = [registry.list_artifacts(db, call.project, kind=kind, limit=_MOST_OWN) for kind in _KINDS]
        return [each.latest for found in pages for each in found.items]

    return await call.platform.database.read(work)


def _item(found: Version | Entry, catalogue: Catalogue) -> dict[str, Any]:
    return version_json(found) | own_summary(found, catalogue) if isinstance(found, Version) else summary(found)


def _place(last: Version | Entry) -> str:
    return f"own {last.kind}/{last.name}" if isinstance(last, Version) else f"listed {last.name}"


def _start(cursor: str | None, own: Sequence[Version], listed: Sequence[Entry]) -> int:
    """Where a page begins: behind the item that the cursor names, by kind and name for the project's own."""
    if cursor is None:
        return 0
    where, _, last = cursor.partition(" ")
    if where == "own":
        order = _KINDS.index(last.partition("/")[0]) if last.partition("/")[0] in _KINDS else len(_KINDS)
        return sum(1 for each in own if (_KINDS.index(each.kind), each.name) <= (order, last.partition("/")[2]))
    names = [each.name for each in listed]
    if where != "listed" or last not in names:
        raise Invalid(f"{cursor!r} is not a cursor", where="cursor", hint="Begin the list anew, without a cursor.")
    return len(own) + names.index(last) + 1
