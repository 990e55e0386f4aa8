import pytest

from flows.building import Files, Project, workbench
from tidemill.store.blobs import Blobs


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def bench(tmp_path):
    async with workbench(tmp_path) as made:
        yield made


@pytest.fixture
def project(tmp_path):
    return Project(files=Files(Blobs(tmp_path / "blobs", "default")))


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A folder on the import path; `code("module.py", text)` writes a module into it."""
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def write(path, text):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write
