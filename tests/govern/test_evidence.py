"""A signed pack: what is in it, that it verifies anywhere, and that nothing in it can be changed unseen."""

from __future__ import annotations

import io
import json
import random
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from govern.conftest import APP
from places import database_place
from tidemill.core.clock import SystemClock
from tidemill.core.digests import canonical
from tidemill.core.errors import Invalid
from tidemill.govern import verify_evidence
from tidemill.govern.dossier import complete, read_dossier
from tidemill.govern.evidence import make_pack, sign_again
from tidemill.govern.verify_evidence import MANIFEST, SIGNATURE, Refused, verify, verify_ed25519
from tidemill.store.blobs import Blobs
from tidemill.store.database import Database

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "verify_evidence.py"


@pytest.fixture(scope="module")
def shop(house):
    """A release that was evaluated, gated, approved, deployed and taken back, and noise in the audit before and between."""
    project = house.project()
    project.dev = project.person("dev", "developer")
    project.rita = project.person("rita", "reviewer")
    project.dev.apply(APP)
    evaluation = project.evaluate(project.dev)
    project.release = evaluation["release"]
    project.gate(project.dev, evaluation["id"])
    project.rita.post("/approvals", {"release": project.release, "reason": "read | all <b>of</b> it"})
    project.dev.post("/endpoints/support:deploy", {"app": "chain/help"})
    project.person("max", "viewer")
    project.dev.apply(APP.replace('text: "{{question}}"', 'text: "Please {{question}}"'))
    project.dev.post("/endpoints/support:deploy", {"app": "chain/help"})
    project.dev.post("/endpoints/support:rollback")
    return project


@pytest.fixture(scope="module")
def pack(shop) -> bytes:
    answer = shop.dev.ask("POST", "/evidence", {"release": shop.release})
    assert answer.is_success, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["x-tidemill-fingerprint"] == verify(io.BytesIO(answer.content))["fingerprint"]
    return answer.content


@pytest.fixture(scope="module")
def files(pack) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(pack)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def refusal(pack: bytes, **options) -> str:
    with pytest.raises(Refused) as refused:
        verify(io.BytesIO(pack), **options)
    return str(refused.value)


def forged(files: dict[str, bytes], **changed: bytes) -> bytes:
    """What an attacker with a key of their own would make: every digest right, and signed."""
    content = {name: each for name, each in files.items() if name not in {MANIFEST, SIGNATURE}} | changed
    manifest = json.loads(files[MANIFEST])
    manifest["files"] = {name: verify_evidence.hashlib.sha256(each).hexdigest() for name, each in content.items()}
    signed = json.dumps(manifest).encode()
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)
    signature = {"public_key": public.hex(), "signature": key.sign(signed).hex()}
    return zipped({MANIFEST: signed, SIGNATURE: json.dumps(signature).encode(), **content})


def test_a_pack_holds_what_is_known_and_verifies(shop, pack, files):
    report = verify(io.BytesIO(pack))
    assert (report["release"], report["project"], report["application"]) == (shop.release, shop.name, "chain/help@v1")
    assert len(report["checks"]) == 5
    evaluation = next(name for name in files if name.endswith("evaluation.json"))
    assert json.loads(files[evaluation])["metrics"]["exact_match"]["interval"]
    samples = files[evaluation.replace("evaluation.json", "samples.jsonl")].splitlines()
    assert len(samples) == 5
    assert json.loads(samples[0])["output"]
    assert json.loads(files["gates.json"])[0]["checks"]
    (approval,) = json.loads(files["approvals.json"])
    assert (approval["who"], approval["role"]) == ("person/rita", "reviewer")
    assert [each["action"] for each in json.loads(files["endpoints.json"])] == ["deploy", "deploy", "rollback"]
    assert {name for name in files if name.startswith("specs/")} == {
        "specs/chain/help@v1.json", "specs/model/echo@v1.json", "specs/prompt/ask@v1.json",
    }  # fmt: skip
    assert files["verify_evidence.py"] == SCRIPT.read_bytes()


def test_audit_lines_about_it_come_with_those_between(files):
    about = json.loads(files["audit.json"])
    lines = [json.loads(line)["entry"] for line in files["audit.jsonl"].splitlines()]
    assert {line["action"] for line in lines if line["number"] in about["about"]} >= {"approval.given", "deploy", "rollback"}
    assert len(about["about"]) < len(lines), "max's key is between them, and not about the release"


def test_it_verifies_with_nothing_installed(tmp_path, pack, files):
    place = tmp_path / "pack.zip"
    place.write_bytes(pack)
    alone = tmp_path / "verify_evidence.py"
    alone.write_bytes(files["verify_evidence.py"])
    command = [sys.executable, "-I", "-S", str(alone), str(place)]
    good = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env={})
    assert good.returncode == 0, good.stderr
    fingerprint = verify(io.BytesIO(pack))["fingerprint"]
    assert fingerprint in good.stdout
    assert subprocess.run([*command, "--key", fingerprint], capture_output=True, check=False).returncode == 0
    place.write_bytes(zipped({**files, "gates.json": b"[]\n"}))
    bad = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert "gates.json was changed" in bad.stderr
    assert subprocess.run(command[:-1], capture_output=True, check=False).returncode == 2


def test_the_same_knowledge_gives_the_same_bytes_but_for_its_time(shop, pack, files):
    again = shop.dev.ask("POST", "/evidence", {"release": shop.release}).content
    with zipfile.ZipFile(io.BytesIO(again)) as archive:
        other = {name: archive.read(name) for name in archive.namelist()}
    assert list(other) == list(files)
    assert {name for name in files if files[name] != other[name]} <= {MANIFEST, SIGNATURE}
    lines = zip(files[MANIFEST].splitlines(), other[MANIFEST].splitlines(), strict=True)
    assert all(a == b or a.startswith(b' "created": ') for a, b in lines)
    database = Database.open(database_place(shop.house.data))
    try:
        blobs = Blobs(shop.house.data / "blobs", shop.name)
        dossier = complete(database.read_sync(lambda db: read_dossier(db, shop.name, shop.release)), blobs)
    finally:
        database.close()
    key, now_ns = shop.house.data / "keys" / "evidence.pem", SystemClock().now_ns()
    assert make_pack(dossier, key=key, now_ns=now_ns)[0] == make_pack(dossier, key=key, now_ns=now_ns)[0]


# What was tampered with is told


def test_one_byte_in_any_file(files):
    for name, content in files.items():
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        message = refusal(zipped({**files, name: flipped}))
        assert name in message or "signature" in message, f"{name}: {message}"


def test_files_that_are_missing_added_or_swapped(shop, files):
    for name in files:
        assert f"{name} is missing" in refusal(zipped({each: files[each] for each in files if each != name}))
    assert "extra.txt was added" in refusal(zipped({**files, "extra.txt": b""}))
    other = shop.dev.ask("POST", "/evidence", {"release": "chain/help"}).content  # another release, the same key
    with zipfile.ZipFile(io.BytesIO(other)) as archive:
        manifest, signature = archive.read(MANIFEST), archive.read(SIGNATURE)
    assert "signature does not fit" in refusal(zipped({**files, MANIFEST: manifest}))
    swapped = refusal(zipped({**files, MANIFEST: manifest, SIGNATURE: signature}))
    assert "added" in swapped or "changed" in swapped or "missing" in swapped


def test_another_key(files):
    theirs = forged(files)
    assert verify(io.BytesIO(theirs))["release"]
    ours = verify(io.BytesIO(zipped(files)))["fingerprint"]
    assert "it was signed by sha256:" in refusal(theirs, key=ours)


def test_a_forger_with_a_key_cannot_change_the_release_or_the_chain(files):
    lock = json.loads(files["lock.json"])
    lock["hermetic"] = not lock["hermetic"]
    assert "lock.json gives sha256:" in refusal(forged(files, **{"lock.json": json.dumps(lock).encode()}))
    prompt = files["specs/prompt/ask@v1.json"].replace(b"{{question}}", b"{{Question}}")
    assert "specs/prompt/ask@v1.json gives sha256:" in refusal(forged(files, **{"specs/prompt/ask@v1.json": prompt}))
    lines = files["audit.jsonl"].splitlines(keepends=True)
    altered = b"".join(lines).replace(b"person/rita", b"person/anna")
    assert "was altered" in refusal(forged(files, **{"audit.jsonl": altered}))
    assert "does not follow" in refusal(forged(files, **{"audit.jsonl": b"".join([lines[1], lines[0], *lines[2:]])}))
    assert "do not end at the anchor" in refusal(forged(files, **{"audit.jsonl": b"".join(lines[:-1])}))
    about = json.loads(files["audit.json"]) | {"about": [10_000]}
    assert "lines that are not there" in refusal(forged(files, **{"audit.json": json.dumps(about).encode()}))


def test_a_zip_file_that_is_broken_or_hostile(pack, files, monkeypatch):
    for size in (0, 1, 100, len(pack) // 2, len(pack) - 1):
        assert "not a whole zip file" in refusal(pack[:size])
    for name in ("../out.txt", "/etc/passwd", "a/../../b", "a\\b", "C:/x", "a//b", "./a"):
        assert "not a plain path" in refusal(zipped({**files, name: b"x"})), name
    link = io.BytesIO()
    with zipfile.ZipFile(link, "w") as archive:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    assert "link is a link" in refusal(link.getvalue())
    twice = io.BytesIO(zipped(files))
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(twice, "a") as archive:
        archive.writestr("gates.json", b"[]")
    assert "gates.json is there twice" in refusal(twice.getvalue())
    monkeypatch.setattr(verify_evidence, "MOST_BYTES", 2**20)
    assert "unpacks to more than" in refusal(zipped({**files, "bomb": bytes(2**21)}))
    monkeypatch.setattr(verify_evidence, "MOST_FILES", 5)
    assert "more than 5" in refusal(zipped(files))


def test_a_size_that_lies_is_seen(files):
    """An entry that says to be short and unpacks to more."""
    made = bytearray(zipped({**files, "gates.json": bytes(100_000)}))
    true, false = (100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    assert true in made
    message = refusal(bytes(made).replace(true, false))
    assert "gates.json" in message or "not a whole zip file" in message


# The signature


RFC_8032 = (
    ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
)  # fmt: skip


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_the_vectors_of_rfc_8032(public, message, signature):
    key, text, signed = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert verify_ed25519(key, text, signed)
    assert not verify_ed25519(key, text + b"x", signed)
    assert not verify_ed25519(key, text, bytes([signed[0] ^ 1]) + signed[1:])
    assert not verify_ed25519(bytes([key[0] ^ 1]) + key[1:], text, signed)
    order = 2**252 + 27742317777372353535851937790883648493
    malleable = signed[:32] + (int.from_bytes(signed[32:], "little") + order).to_bytes(32, "little")
    assert not verify_ed25519(key, text, malleable), "a second signature for the same message"
    assert not verify_ed25519(key, text, signed[:63])


def test_it_agrees_with_the_library_that_signs():
    dice = random.Random(8032)
    for size in (0, 1, 63, 64, 65, 1000):
        key = Ed25519PrivateKey.from_private_bytes(dice.randbytes(32))
        public = key.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)
        message = dice.randbytes(size)
        assert verify_ed25519(public, message, key.sign(message))
        assert not verify_ed25519(public, message + b"!", key.sign(message))


def some_json(dice, depth):
    """A value of any kind, with numbers of every size and text of every plane."""
    if depth and dice.random() < 0.6:
        inner = [some_json(dice, depth - 1) for _ in range(dice.randrange(4))]
        return inner if dice.random() < 0.5 else {str(some_json(dice, 0)): each for each in inner}
    return dice.choice([
        None, True, False, dice.randrange(-(2**53) + 1, 2**53), dice.uniform(-1, 1) * 10.0 ** dice.randrange(-300, 300),
        float(dice.randrange(10**6)),
        "".join(chr(dice.choice([9, 10, 34, 92, 127, 233, 0x2028, 0x1F600, 97])) for _ in range(5)),
    ])  # fmt: skip


def test_its_canonical_json_is_the_platforms():
    dice = random.Random(8785)
    for _ in range(300):
        value = some_json(dice, 4)
        assert verify_evidence.canonical(value).encode() == canonical(value)
        assert verify_evidence.canonical(json.loads(json.dumps(value))).encode() == canonical(value)


# Keys


def test_the_platforms_key_is_made_once_and_kept_to_itself(shop, pack):
    key = shop.house.data / "keys" / "evidence.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert key.read_bytes() not in pack
    made = shop.audit("evidence.key")
    assert len(made) <= 1, "one key for the platform, told in the project that needed it first"
    assert {each["detail"]["signed_by"] for each in shop.audit("evidence.pack")} == {verify(io.BytesIO(pack))["fingerprint"]}


def written(path: Path, key, mode: int = 0o600) -> Path:
    path.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    path.chmod(mode)
    return path


def test_a_key_of_ones_own_signs_the_same_content(pack, tmp_path):
    key = written(tmp_path / "own.pem", Ed25519PrivateKey.generate())
    mine, signature = sign_again(pack, key=key)
    assert verify(io.BytesIO(mine), key=signature.fingerprint)["release"] == verify(io.BytesIO(pack))["release"]
    assert signature.fingerprint != verify(io.BytesIO(pack))["fingerprint"]
    with pytest.raises(Invalid, match="the pack does not hold"):
        sign_again(pack[:-1], key=key)


def test_keys_that_cannot_sign_are_refused(pack, tmp_path):
    open_key = written(tmp_path / "open.pem", Ed25519PrivateKey.generate(), mode=0o644)
    wrong_kind = written(tmp_path / "rsa.pem", rsa.generate_private_key(65537, 2048))
    no_key = tmp_path / "no.pem"
    no_key.write_text("hello")
    no_key.chmod(0o600)
    for path, message in (
        (open_key, "others may read"),
        (wrong_kind, "another kind than Ed25519"),
        (no_key, "not a private key"),
        (tmp_path / "none.pem", "cannot be read"),
    ):
        with pytest.raises(Invalid, match=message) as refused:
            sign_again(pack, key=path)
        assert refused.value.hint


def test_what_was_erased_is_told_and_breaks_nothing(house):
    project = house.project()
    project.admin.apply(APP)
    evaluation = project.evaluate(project.admin)
    project.admin.post("/datasets/questions/samples:erase", {"samples": ["2"], "why": "asked"})
    made = project.admin.ask("POST", "/evidence", {"release": evaluation["release"]})
    checks = verify(io.BytesIO(made.content))["checks"]
    assert checks[-1] == "erased       1 samples of evaluations: their content is gone for good, their scores stand"


def test_there_is_no_evidence_of_what_was_never_released(shop):
    fresh = shop.house.project()
    fresh.admin.apply(APP)
    told = fresh.admin.refused("POST", "/evidence", {"release": "chain/help"}, status=404)
    assert "was never released" in told["detail"]
    assert told["hint"] == "Lock it first: tidemill release chain/help"
    others = fresh.admin.ask("GET", "/evidence/cards", release=shop.release)
    assert others.status_code == 404, "another project's"
    fresh.admin.refused("POST", "/evidence", {"release": f"sha256:{'0' * 64}"}, status=404)


def test_the_command_line_writes_and_verifies(shop, tmp_path, monkeypatch, capsys):
    from tidemill.cli.main import run

    monkeypatch.chdir(tmp_path)
    (tmp_path / "tidemill.toml").touch()
    (tmp_path / "tidemill").mkdir()
    (tmp_path / "tidemill" / "app.yaml").write_text(APP)
    assert run(["apply", "--yes"]) == 0
    assert run(["release", "chain/help"]) == 0
    own = written(tmp_path / "own.pem", Ed25519PrivateKey.generate())
    assert run(["evidence", "chain/help", "--out", "pack.zip", "--key", str(own), "--json"]) == 0
    assert run(["evidence", "verify", "pack.zip"]) == 0
    assert "recomputed from lock.json" in capsys.readouterr().out
    assert run(["evidence", "verify", "pack.zip", "--key", f"sha256:{'0' * 64}"]) == 1
    assert "refused      it was signed by" in capsys.readouterr().err
    assert run(["evidence", "card", "chain/help", "--out", "cards"]) == 0
    assert sorted(each.name for each in Path("cards").iterdir()) == [
        "model-echo.json",
        "model-echo.md",
        "system.json",
        "system.md",
    ]
    assert run(["evidence", "bom", "chain/help", "--out", "bom.json"]) == 0
    assert json.loads(Path("bom.json").read_text())["bomFormat"] == "CycloneDX"
    assert run(["evidence", "verify", "nothing.zip"]) == 1
    assert "there is no file" in capsys.readouterr().err
