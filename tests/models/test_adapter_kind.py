from __future__ import annotations

import json
import struct

import pytest

from models.calls import MemoryFiles, version
from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Invalid
from tidemill.models.adapter_kind import AdapterKind

HEADER = json.dumps({"__metadata__": {}}).encode()
WEIGHTS = struct.pack("<Q", len(HEADER)) + HEADER
CONFIG = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["v_proj", "q_proj"]}
BODY = {"base": "local", "path": "adapters/router"}


class Kept(MemoryFiles):
    def put_blob(self, content: bytes) -> str:
        return digest_bytes(content)


def files(weights: bytes = WEIGHTS, **config) -> Kept:
    folder = "adapters/router"
    content = json.dumps({**CONFIG, **config}).encode()
    return Kept({f"{folder}/adapter_model.safetensors": weights, f"{folder}/adapter_config.json": content})


def test_an_adapter_has_its_base_its_shape_and_its_files():
    parsed = AdapterKind().parse(BODY, files=files())
    assert parsed.spec == {"base": "model/local", "rank": 8, "alpha": 16, "targets": ["q_proj", "v_proj"]}
    assert parsed.references == {"base": "model/local"}
    assert parsed.blobs["weights"] == digest_bytes(WEIGHTS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Kept(), "there is no file adapters/router/adapter_model.safetensors"),
        (files(b"\x80\x04 a pickle"), "not a safetensors file"),
        (files(b""), "not a safetensors file"),
        (files(struct.pack("<Q", 10**9) + HEADER), "not a safetensors file"),
        (files(peft_type="PREFIX_TUNING"), "does not describe a LoRA adapter"),
    ],
)
def test_what_is_no_adapter_is_refused(given, said):
    with pytest.raises(Invalid, match=said) as caught:
        AdapterKind().parse(BODY, files=given)
    assert caught.value.where == "path"


def test_a_base_that_runs_elsewhere_takes_no_adapter():
    spec = {"base": "model/local"}
    assert not AdapterKind().check(spec, resolved={"model/local": version(provider="local")})
    found = AdapterKind().check(spec, resolved={"model/local": version(provider="openai", model="gpt-9")})
    assert "takes no adapter from here" in found[0].message
