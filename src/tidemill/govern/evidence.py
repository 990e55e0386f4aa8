"""An evidence pack: everything that is known of a release in one zip file, signed, to be verified without Tidemill.

`manifest.json` names every file with its SHA-256; `signature.json` signs the manifest's bytes. The same knowledge gives the
same bytes, but for the line `created` of the manifest, and with it the signature.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from importlib.resources import files as package_files
from pathlib import Path
from typing import Final

from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.govern import verify_evidence
from tidemill.govern.bom import bill_of_materials
from tidemill.govern.card_text import card_markdown
from tidemill.govern.cards import evaluation, gate, model_cards, system_card
from tidemill.govern.dossier import Dossier, when
from tidemill.govern.verify_evidence import MANIFEST, SCHEMA, SIGNATURE
from tidemill.store.signing import Signature, sign

VERIFIER: Final = "verify_evidence.py"
_README: Final = """\
# Evidence for {application}

Release `{release}` of project `{project}`.

Verify it with nothing but Python 3.11, offline; take the script from a source that you trust, or read this one first:

    python verify_evidence.py PACK.zip --key FINGERPRINT

`manifest.json` names every file with its SHA-256 and `signature.json` signs it (Ed25519). `lock.json` is the release; `specs/`
is what it locks; `evaluations/`, `gates.json`, `approvals.json` and `endpoints.json` are what was measured, decided, approved
and served; `audit.jsonl` holds the audit lines about it with those in between, so that their chain can be followed; `cards/`
and `bom.cdx.json` (CycloneDX 1.6) say the same in the forms that others read.
"""


def make_pack(dossier: Dossier, *, key: Path, now_ns: int) -> tuple[bytes, Signature]:
    """The pack's bytes, signed with the private key in the file `key`; and who signed."""
    content = pack_files(dossier)
    manifest = {
        "schema": SCHEMA,
        "release": dossier.release.digest,
        "application": dossier.bundle.root.ref,
        "project": dossier.project,
        "created": when(now_ns),
        "files": {name: hashlib.sha256(each).hexdigest() for name, each in sorted(content.items())},
    }
    return _signed(content, _pretty(manifest), key)


def sign_again(pack: bytes, *, key: Path) -> tuple[bytes, Signature]:
    """The same pack, verified and then signed with another key. Raises `Invalid` for a pack that does not hold."""
    try:
        verify_evidence.verify(io.BytesIO(pack))
    except verify_evidence.Refused as refused:
        raise Invalid(f"the pack does not hold: {refused}") from refused
    with zipfile.ZipFile(io.BytesIO(pack)) as archive:
        content = {name: archive.read(name) for name in archive.namelist() if name not in {MANIFEST, SIGNATURE}}
        return _signed(content, archive.read(MANIFEST), key)


def pack_files(dossier: Dossier) -> dict[str, bytes]:
    """Every file of the pack but the manifest and the signature."""
    facts = {"application": dossier.bundle.root.ref, "release": dossier.release.digest, "project": dossier.project}
    content: dict[str, bytes] = {
        "README.md": _README.format(**facts).encode(),
        VERIFIER: package_files("tidemill.govern").joinpath(VERIFIER).read_bytes(),
        "lock.json": _pretty(dossier.release.lock),
        "gates.json": _pretty([gate(each) for each in dossier.decisions]),
        "approvals.json": _pretty(list(dossier.approvals)),
        "endpoints.json": _pretty(system_card(dossier)["served"]),
        "bom.cdx.json": _pretty(bill_of_materials(dossier)),
    }
    for version in dossier.versions:
        own = {name: getattr(version, name) for name in ("kind", "name", "number", "digest", "spec", "description", "owner")}
        named = own | {"refs": dict(version.refs), "blobs": dict(version.blobs), "tags": dict(version.tags)}
        content[f"specs/{version.kind}/{version.name}@v{version.number}.json"] = _pretty(named)
    for measured in dossier.evaluations:
        folder = f"evaluations/{measured.row.id}"
        whole = {"config": measured.row.config, "result": measured.row.result}
        content[f"{folder}/evaluation.json"] = _pretty({**evaluation(measured), **whole})
        rows = ({"sample": each.sample, "replicate": each.replicate, **each.data} for each in measured.samples)
        content[f"{folder}/samples.jsonl"] = b"".join(_line(each) for each in rows)
    return content | _audit(dossier) | _cards(dossier)


def _cards(dossier: Dossier) -> dict[str, bytes]:
    cards: dict[str, JsonObject] = {"system": system_card(dossier)}
    cards |= {f"{each['kind']}-{each['name']}": each for each in model_cards(dossier)}
    texts = {f"cards/{name}.md": card_markdown(each).encode() for name, each in cards.items()}
    return texts | {f"cards/{name}.json": _pretty(each) for name, each in cards.items()}


def _audit(dossier: Dossier) -> dict[str, bytes]:
    chain = dossier.chain
    about: JsonObject = {
        "project": dossier.project,
        "about": list(dossier.about),
        "first": chain[0].number if chain else 0,
        "follows": chain[0].previous if chain else None,
        "anchor": f"{chain[-1].number}:{chain[-1].digest}" if chain else None,
    }
    return {"audit.json": _pretty(about), "audit.jsonl": b"".join(each.exported() + b"\n" for each in chain)}


def _signed(content: Mapping[str, bytes], manifest: bytes, key: Path) -> tuple[bytes, Signature]:
    signature = sign(manifest, key=key)
    signed = {
        "algorithm": "Ed25519",
        "signs": MANIFEST,
        "public_key": signature.public_key.hex(),
        "fingerprint": signature.fingerprint,
        "signature": signature.signature.hex(),
    }
    return _zipped({MANIFEST: manifest, SIGNATURE: _pretty(signed), **dict(sorted(content.items()))}), signature


def _zipped(content: Mapping[str, bytes]) -> bytes:
    """A zip file without anything of this moment or this machine."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, each in content.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, each)
    return target.getvalue()


def _pretty(value: Json) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode("utf-8", "replace")


def _line(value: JsonObject) -> bytes:
    return (json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n").encode("utf-8", "replace")
