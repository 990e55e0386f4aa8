#!/usr/bin/env python3
"""Verify a Tidemill evidence pack, offline: `python verify_evidence.py PACK.zip [--key FINGERPRINT]`.

It needs Python 3.11 and nothing else: no package, no network, no Tidemill. It checks the Ed25519 signature (RFC 8032) over the
manifest, the SHA-256 of every file against the manifest and that no file was added, the digest of the release recomputed from
its lock file, the digest of every artifact recomputed from its content, and the chain of the audit lines. It prints what it
found and exits 0, or says what is wrong and exits 1. Who signed is for you to know: compare the fingerprint with the one that
you were given.
"""
# pyright: basic
# It reads JSON that anyone may have written, without the project's types.

from __future__ import annotations

import hashlib
import json
import math
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

SCHEMA = "tidemill-evidence/1"
MANIFEST, SIGNATURE = "manifest.json", "signature.json"
MOST_FILES = 100_000
MOST_BYTES = 2 * 1024**3
_MOST_MANIFEST = 64 * 1024**2
_MOST_SIGNATURE = 64 * 1024


class Refused(Exception):
    """The pack does not hold; the message says what is wrong."""


def verify(pack: Path | BinaryIO, *, key: str = "") -> dict[str, Any]:
    """Check a whole pack; what it is about, and what was checked. `key` is the fingerprint that must have signed it.

    Raises `Refused`.
    """
    try:
        with zipfile.ZipFile(pack) as archive:
            return _verify(archive, key)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError) as error:
        if isinstance(error, FileNotFoundError):
            raise Refused(f"there is no file {pack}") from error
        raise Refused(f"it is not a whole zip file: {error}") from error


def _verify(archive: zipfile.ZipFile, key: str) -> dict[str, Any]:
    entries = _entries(archive)
    for name in (MANIFEST, SIGNATURE):
        if name not in entries:
            raise Refused(f"{name} is missing")
    signed = _read(archive, entries[MANIFEST], _MOST_MANIFEST)
    signature = _object(_read(archive, entries[SIGNATURE], _MOST_SIGNATURE), SIGNATURE)
    fingerprint = _check_signature(signature, signed, key)
    manifest = _object(signed, MANIFEST)
    if manifest.get("schema") != SCHEMA:
        raise Refused(f"{MANIFEST} has the schema {manifest.get('schema')!r}, this script knows {SCHEMA}")
    files = _check_files(archive, entries, manifest)
    artifacts = _check_release(files, str(manifest.get("release")))
    checks = [
        f"signature    Ed25519 by {fingerprint}",
        f"files        {len(files)}, each as the manifest has it, none added",
        f"release      {manifest['release']}, recomputed from lock.json",
        f"artifacts    {artifacts}, each digest recomputed from its content",
        f"audit        {_check_audit(files)}",
    ]
    erased = _count_erased(files)
    if erased:
        checks.append(f"erased       {erased} samples of evaluations: their content is gone for good, their scores stand")
    about = {name: manifest.get(name) for name in ("release", "project", "application", "created")}
    return {**about, "fingerprint": fingerprint, "files": len(files), "checks": checks}


# The archive


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Every file by its name. A name that leaves the folder, a link, a second file of one name and too much are refused."""
    found = archive.infolist()
    if len(found) > MOST_FILES:
        raise Refused(f"it holds {len(found)} files, more than {MOST_FILES}")
    if sum(each.file_size for each in found) > MOST_BYTES:
        raise Refused(f"it unpacks to more than {MOST_BYTES // 1024**3} GiB")
    entries: dict[str, zipfile.ZipInfo] = {}
    for each in found:
        name = each.filename
        parts = name.split("/")
        if name != each.orig_filename or "\\" in name or ":" in parts[0] or "" in parts or "." in parts or ".." in parts:
            raise Refused(f"the name {each.orig_filename!r} is not a plain path inside the pack")
        if (each.external_attr >> 16) & 0o170000 == 0o120000:
            raise Refused(f"{name} is a link")
        if name in entries:
            raise Refused(f"{name} is there twice")
        entries[name] = each
    return entries


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    if entry.file_size > most:
        raise Refused(f"{entry.filename} has {entry.file_size} bytes, more than {most}")
    with archive.open(entry) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise Refused(f"{entry.filename} unpacks to more than it says")
    return content


def _check_files(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], manifest: dict[str, Any]) -> dict[str, bytes]:
    """The content of every file that the manifest names; nothing else may be there."""
    listed = manifest.get("files")
    if not isinstance(listed, dict):
        raise Refused(f"{MANIFEST} lists no files")
    added = sorted(set(entries) - set(listed) - {MANIFEST, SIGNATURE})
    if added:
        raise Refused(f"{added[0]} was added: the manifest does not name it")
    files: dict[str, bytes] = {}
    for name, digest in listed.items():
        if name not in entries:
            raise Refused(f"{name} is missing")
        content = _read(archive, entries[name], MOST_BYTES)
        if hashlib.sha256(content).hexdigest() != digest:
            raise Refused(f"{name} was changed: its SHA-256 is not the manifest's")
        files[name] = content
    return files


def _object(content: bytes, name: str) -> dict[str, Any]:
    value = _parse(content, name)
    if not isinstance(value, dict):
        raise Refused(f"{name} is not a JSON object")
    return value


def _json(files: dict[str, bytes], name: str) -> dict[str, Any]:
    if name not in files:
        raise Refused(f"{name} is missing from the manifest")
    return _object(files[name], name)


def _parse(content: bytes, name: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{name} is not JSON: {error}") from error


# The release and its artifacts


def _check_release(files: dict[str, bytes], release: str) -> int:
    lock = _json(files, "lock.json")
    try:
        spec = {"root": lock["root"], "artifacts": lock["artifacts"], "hermetic": lock["hermetic"]}
        locked = {name.partition("@")[0] + " " + each["digest"] for name, each in lock["artifacts"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise Refused(f"lock.json is not a lock file: {error}") from error
    digest = artifact_digest("release", spec, {}, {})
    if not digest == lock.get("digest") == release:
        raise Refused(f"lock.json gives {digest}, but the release is called {release}")
    found: set[str] = set()
    for name in sorted(each for each in files if each.startswith("specs/")):
        each = _json(files, name)
        try:
            made = artifact_digest(each["kind"], each["spec"], _bare(each["refs"]), each["blobs"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise Refused(f"{name} is not an artifact: {error}") from error
        if made != each.get("digest"):
            raise Refused(f"{name} gives {made}, but is called {each.get('digest')}")
        found.add(f"{each['kind']}/{each.get('name')} {made}")
    if found != locked:
        odd = min(found ^ locked)
        raise Refused(f"{odd} is {'locked, but its content is missing' if odd in locked else 'there, but not locked'}")
    return len(found)


def _bare(refs: dict[str, str]) -> dict[str, str]:
    """References without versions, where that still tells them apart."""
    targets: dict[str, set[str]] = {}
    for written, digest in refs.items():
        targets.setdefault(written.partition("@")[0], set()).add(digest)
    return {w if len(targets[w.partition("@")[0]]) > 1 else w.partition("@")[0]: digest for w, digest in refs.items()}


def artifact_digest(kind: str, spec: Any, refs: Any, blobs: Any) -> str:
    """`sha256:` of the canonical JSON (RFC 8785) of what an artifact is."""
    value = {"schema": "tidemill/1", "kind": kind, "spec": spec, "refs": refs, "blobs": blobs}
    return "sha256:" + hashlib.sha256(canonical(value).encode()).hexdigest()


def canonical(value: Any) -> str:
    """RFC 8785 (JCS): sorted keys, no space, numbers as ECMAScript writes them."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float):
        return _number(value)
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} has no canonical form")
    if value == 0:
        return "0"
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        text = digits.ljust(point, "0")
        text = text[:point] + ("." + text[point:] if text[point:] else "")
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        text = digits[0] + ("." + digits[1:] if digits[1:] else "") + f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return ("-" if value < 0 else "") + text


def _count_erased(files: dict[str, bytes]) -> int:
    """How many samples of evaluations were erased before the pack was made."""
    names = [name for name in files if name.startswith("evaluations/") and name.endswith("/samples.jsonl")]
    return sum(_object(line, name).get("erased") is True for name in names for line in files[name].splitlines())


# The audit chain


def _check_audit(files: dict[str, bytes]) -> str:
    """Each line holds the digest of the one before; a sentence that says how much of the chain there is."""
    about = _json(files, "audit.json")
    lines = files.get("audit.jsonl", b"").splitlines()
    numbers, previous = about.get("about"), about.get("follows")
    if not isinstance(numbers, list) or not isinstance(about.get("first"), int):
        raise Refused("audit.json does not say which lines are about the release")
    for number, line in enumerate(lines, start=about["first"]):
        entry = _object(line, f"line {number} of audit.jsonl").get("entry")
        # `{"digest":"sha256:…","entry":ENTRY}`: the digest is that of ENTRY's bytes as they stand here.
        digest = "sha256:" + hashlib.sha256(line[92:-1]).hexdigest()
        if not isinstance(entry, dict) or line[:92] != f'{{"digest":"{digest}","entry":'.encode():
            raise Refused(f"audit line {number} was altered: its content has another digest")
        if entry.get("number") != number or entry.get("previous") != previous:
            raise Refused(f"audit line {number} does not follow the line before it")
        previous = digest
    if lines and about.get("anchor") != f"{about['first'] + len(lines) - 1}:{previous}":
        raise Refused("the audit lines do not end at the anchor that audit.json names")
    if not all(about["first"] <= each < about["first"] + len(lines) for each in numbers):
        raise Refused("audit.json names lines that are not there")
    if not lines:
        return "no line is about this release"
    return f"lines about it: {len(numbers)}, in an unbroken chain of {len(lines)} that ends at {about['anchor']}"


# Ed25519, RFC 8032 section 5.1


_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_M1 = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def verify_ed25519(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) over `message` was made with the private half of `public_key` (32 bytes)."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    a, r = _decompress(public_key), _decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= _L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % _L
    left, right = _multiply(s, _BASE), _add(r, _multiply(h, a))
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (left[1] * right[2] - right[1] * left[2]) % _P == 0


def _add(p: _Point, q: _Point) -> _Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int, point: _Point) -> _Point:
    result: _Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point, scalar = _add(point, point), scalar >> 1
    return result


def _decompress(encoded: bytes) -> _Point | None:
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _SQRT_M1 % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


_base = _decompress((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
assert _base is not None
_BASE = _base


def _check_signature(signature: dict[str, Any], signed: bytes, key: str) -> str:
    try:
        public_key, value = bytes.fromhex(signature["public_key"]), bytes.fromhex(signature["signature"])
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(f"{SIGNATURE} is not a signature: {error}") from error
    if not verify_ed25519(public_key, signed, value):
        raise Refused(f"the signature does not fit {MANIFEST}: one of the two was changed")
    fingerprint = fingerprint_of(public_key)
    if key and key.strip().lower() != fingerprint:
        raise Refused(f"it was signed by {fingerprint}, not by {key}")
    return fingerprint


def fingerprint_of(public_key: bytes) -> str:
    """How a key is told apart: `sha256:` of its 32 bytes."""
    return "sha256:" + hashlib.sha256(public_key).hexdigest()


def main(arguments: list[str]) -> int:
    """Verify the pack that the arguments name; the exit code."""
    key = ""
    if "--key" in arguments[:-1]:
        place = arguments.index("--key")
        key = arguments[place + 1]
        arguments = arguments[:place] + arguments[place + 2 :]
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write(f"{(__doc__ or '').splitlines()[0]}\n")
        return 2
    try:
        report = verify(Path(arguments[0]), key=key)
    except Refused as refused:
        sys.stderr.write(f"refused      {refused}\n")
        return 1
    for line in (
        f"verified     {report['application']} in project {report['project']}, {report['created']}",
        *report["checks"],
    ):
        sys.stdout.write(line + "\n")
    if not key:
        sys.stdout.write("Compare the signer's fingerprint with the one you were given, or pass it: --key sha256:…\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
