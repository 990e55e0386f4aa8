"""Evidence of a release: its cards, its bill of materials, and a signed pack of all that is known."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, cast

import anyio.to_thread
from fastapi import Query, Response
from pydantic import Field
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Caller
from tidemill.api.router import Router
from tidemill.core.chat import Connection
from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.refs import parse_ref
from tidemill.govern import evidence
from tidemill.govern.bom import bill_of_materials
from tidemill.govern.card_text import card_markdown
from tidemill.govern.cards import model_cards, system_card
from tidemill.govern.dossier import Dossier, complete, read_dossier
from tidemill.models.connections import read_secret
from tidemill.models.watermark import SHOWN, detect, key_id, read_watermark
from tidemill.store import audit, registry, signing
from tidemill.store.endpoints import get_endpoint
from tidemill.store.signatures import note_key

router = Router(prefix="/evidence", tags=["evidence"])

Release = Annotated[str, Query(description="A release's digest, or an app or endpoint, as in chain/handbook.")]


class NewPack(Body):
    """What to make a pack of: a release's digest, or an app or endpoint."""

    release: str


class Text(Body):
    """A text, and the model whose watermark it may bear."""

    model: str
    text: str = Field(max_length=1_000_000)


@router.get("/cards", response_model=None)
async def get_cards(call: AnyCaller, release: Release) -> JsonObject:
    """The system card and a card for each model, each as JSON with its Markdown under `markdown`."""
    dossier = await _dossier(call, release)
    cards = [_with_text(each) for each in model_cards(dossier)]
    return {"system": _with_text(system_card(dossier)), "models": cards}


@router.get("/bom", response_model=None)
async def get_bill_of_materials(call: AnyCaller, release: Release) -> JsonObject:
    """The bill of materials, CycloneDX 1.6."""
    return bill_of_materials(await _dossier(call, release))


@router.post("", response_class=Response, responses={200: {"content": {"application/zip": {}}}})
async def make_pack(call: AnyCaller, body: NewPack) -> Response:
    """The signed pack, as a zip file; the header `x-tidemill-fingerprint` tells who signed. The key is made at first use."""
    platform = call.platform
    dossier = await _dossier(call, body.release)
    key, made = await anyio.to_thread.run_sync(signing.platform_key, platform.data)
    now_ns = platform.clock.now_ns()
    pack, signature = await anyio.to_thread.run_sync(lambda: evidence.make_pack(dossier, key=key, now_ns=now_ns))
    detail: dict[str, Json] = {"signed_by": signature.fingerprint, "pack": digest_bytes(pack)}

    def note(db: Database) -> None:
        if made:
            _append(db, call, "evidence.key", signature.fingerprint, {"algorithm": "Ed25519"}, now_ns=now_ns)
        note_key(db, signature.fingerprint, by=call.who, now_ns=now_ns)
        _append(db, call, "evidence.pack", dossier.release.digest, detail, now_ns=now_ns)

    await platform.database.write(note)
    name = f"{dossier.bundle.root.name}-{dossier.release.digest[7:19]}.zip"
    headers = {"content-disposition": f'attachment; filename="{name}"', "x-tidemill-fingerprint": signature.fingerprint}
    return Response(pack, media_type="application/zip", headers=headers)


@router.post("/watermark", response_model=None)
async def detect_watermark(call: AnyCaller, body: Text) -> JsonObject:
    """Test a text for a model's watermark. The key is read where the model's parameters say it is."""
    platform = call.platform
    version = await platform.database.read(
        lambda db: registry.get_version(db, call.project, parse_ref(body.model, kind="model"))
    )
    mark = read_watermark(cast("JsonObject", version.spec.get("params") or {}))
    if mark is None:
        raise Invalid(
            f"{version.ref} does not mark its answers",
            hint="Write params: {watermark: {key: env:NAME}} in the model's document, or name a version that has it.",
        )
    provider = str(version.spec["provider"])
    key = read_secret(mark.key, Connection(name=provider, provider=provider)).encode()
    environment = platform.settings.environment
    tokens = await platform.models.tokenize(version, body.text, project=call.project, environment=environment)
    found = await anyio.to_thread.run_sync(lambda: detect(tokens, key=key, gamma=mark.gamma))
    return {"model": version.ref, "key": key_id(key), "verdict": found.verdict, "shown_at": SHOWN, **asdict(found)}


async def _dossier(call: Caller, asked: str) -> Dossier:
    project = call.project

    found = await call.platform.database.read(
        lambda db: read_dossier(
            db, project, get_endpoint(db, project, asked).release if asked.startswith("endpoint/") else asked
        )
    )
    return await anyio.to_thread.run_sync(complete, found, call.platform.blobs(project))


def _append(db: Database, call: Caller, action: str, target: str, detail: JsonObject, *, now_ns: int) -> None:
    audit.append(db, call.project, who=call.who, action=action, target=target, detail=detail, now_ns=now_ns)


def _with_text(card: JsonObject) -> JsonObject:
    return {**card, "markdown": card_markdown(card)}
