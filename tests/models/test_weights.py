"""Looking into files of weights: whole ones tell what they are, the others are refused with the reason."""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.weights import entry, gguf, onnx, text
from tidemill.core.errors import Invalid
from tidemill.models.model_files import inspect_file


@pytest.fixture
def file(tmp_path: Path):
    def write(content: bytes, name: str = "model.gguf") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def archive() -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as opened:
        opened.writestr("archive/data.pkl", pickle.dumps({"weight": 1}))
    return kept.getvalue()


def test_a_whole_gguf_tells_what_it_is(file) -> None:
    facts = inspect_file(file(gguf()))
    assert (facts.format, facts.name, facts.architecture, facts.context) == ("gguf", "Tiny", "llama", 2048)
    assert (facts.quantisation, facts.parameters, facts.licence) == ("F32", 16, "apache-2.0")


def test_a_whole_onnx_tells_what_it_is(file) -> None:
    facts = inspect_file(file(onnx(), "model.onnx"))
    assert (facts.format, facts.name, facts.architecture) == ("onnx", "main", "made")


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model.pth", "model.pkl", "model.ckpt", "model.joblib", "MODEL.PT"])
def test_a_pickle_is_refused_by_its_ending(file, name: str) -> None:
    with pytest.raises(Invalid, match="can run code"):
        inspect_file(file(gguf(), name))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["model.gguf", "model.onnx", "model"])
def test_a_pickle_is_refused_by_what_it_holds(file, name: str, protocol: int) -> None:
    with pytest.raises(Invalid, match="can run code"):
        inspect_file(file(pickle.dumps({"weight": 1}, protocol=protocol), name))


def test_an_archive_of_pickles_is_refused_whatever_it_is_called(file) -> None:
    with pytest.raises(Invalid, match="can run code"):
        inspect_file(file(archive(), "model.gguf"))


HOSTILE = {
    "another version": (gguf(version=99), "version 99"),
    "too many tensors": (gguf(tensors=2**62), "claims 4611686018427387904 tensors"),
    "too many values": (gguf(entries=2**40), "claims 1099511627776 values"),
    "an endless text": (gguf(extra=entry("x", 8, struct.pack("<Q", 2**60)), extra_count=1), "claims a text"),
    "an endless array": (gguf(extra=entry("x", 9, struct.pack("<IQ", 6, 2**60)), extra_count=1), "cut off"),
    "an endless array of texts": (gguf(extra=entry("x", 9, struct.pack("<IQ", 8, 2**60)), extra_count=1), "cut off"),
    "an array of arrays": (gguf(extra=entry("x", 9, struct.pack("<IQ", 9, 1)), extra_count=1), "type 9"),
    "an unknown type": (gguf(extra=entry("x", 77, b""), extra_count=1), "type 77"),
    "an alignment of zero": (gguf(extra=entry("general.alignment", 4, struct.pack("<I", 0)), extra_count=1), "alignment of 0"),
    "a header that is not text": (gguf(extra=entry("x", 8, struct.pack("<Q", 2) + b"\xff\xfe"), extra_count=1), "not UTF-8"),
    "data that is missing": (gguf(data=10), "ends at byte"),
    "a tensor larger than the file": (gguf(elements=2**50), "cut off"),
    "no tensors": (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + entry("general.architecture", 8, text("llama")), "no tensors"),
    "an adapter": (gguf(general_type="adapter"), "'adapter'"),
    "no architecture": (gguf(architecture=""), "architecture"),
    "nothing": (b"", "is empty"),
    "words": (b"not a model at all, really", "neither GGUF nor ONNX"),
    "safetensors": (struct.pack("<Q", 40) + b'{"weight": {"dtype": "F32"}}', "safetensors"),
}


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_or_broken_file_is_refused_with_the_reason(file, content: bytes, message: str) -> None:
    with pytest.raises(Invalid, match=message) as refused:
        inspect_file(file(content))
    assert "Traceback" not in str(refused.value)


def test_a_gguf_cut_anywhere_is_refused(file) -> None:
    whole = gguf()
    for end in range(4, len(whole) - 1, 7):
        with pytest.raises(Invalid):
            inspect_file(file(whole[:end]))


def test_an_onnx_cut_anywhere_in_its_graph_is_refused(file) -> None:
    whole = onnx()
    for end in range(1, whole.index(b"weight")):
        with pytest.raises(Invalid):
            inspect_file(file(whole[:end], "model.onnx"))


def test_an_onnx_with_weights_elsewhere_is_refused(file) -> None:
    with pytest.raises(Invalid, match="another file"):
        inspect_file(file(onnx(external=True), "model.onnx"))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        inspect_file(tmp_path / "gone.gguf")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_changed_byte_is_read_or_refused_and_nothing_else(file, data) -> None:
    whole = bytearray(data.draw(st.sampled_from([gguf(), onnx()])))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Invalid):
        inspect_file(file(bytes(whole), "model.onnx" if whole[:1] == b"\x08" else "model.gguf"))
