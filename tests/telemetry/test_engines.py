"""Both forms of the span store pass the kit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from telemetry.spans import make_span
from tidemill.core.errors import Invalid, NotFound, Unavailable
from tidemill.telemetry.engine.clickhouse import RemoteEngine, server_url
from tidemill.telemetry.engine.embedded import EmbeddedEngine
from tidemill.telemetry.engine.protocol import EngineDied
from tidemill.telemetry.store import Telemetry
from tidemill.testing.telemetry import check_engine

pytest.importorskip("chdb", reason="needs the extra analytics")
pytest.importorskip("clickhouse_connect", reason="needs the extra analytics")
pytestmark = pytest.mark.anyio
PASSWORD = "not to be shown"


@pytest.fixture
def server(tmp_path):
    """A server's process and its address."""
    script = str(Path(__file__).with_name("clickhouse_server.py"))
    command = [sys.executable, script, str(tmp_path / "server"), PASSWORD]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        yield process, f"http://default:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{int(process.stdout.readline())}"
        process.kill()


async def test_the_embedded_engine(tmp_path):
    engine = EmbeddedEngine(tmp_path / "spans")
    await check_engine(engine)
    await engine.close()


async def test_a_server(server):
    engine = RemoteEngine(server[1])
    await check_engine(engine)
    await engine.close()


async def test_traces_on_a_server(server, tmp_path):
    async with Telemetry(tmp_path, engine=RemoteEngine(server[1])) as telemetry:
        await telemetry.append([make_span(0), make_span(1, trace=0, parent=0, kind="llm", input="tide words")])
        assert [each["name"] for each in (await telemetry.list_traces("p"))["items"]] == ["span 0"]
        assert len((await telemetry.get_trace("p", "0" * 32))["spans"]) == 2
        assert len(await telemetry.search_spans("p", "tide")) == 1
        assert (await telemetry.stored()).spans == 2
        assert telemetry.engine_pid is None


async def test_a_server_that_is_gone_is_told_without_the_password(server, tmp_path, caplog):
    process, url = server
    engine = RemoteEngine(url)
    await engine.warm()
    process.kill()
    process.wait()
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        await engine.query("SELECT 1", {})
    with pytest.raises(EngineDied):
        await engine.insert(b"{}")
    await engine.close()
    assert PASSWORD not in f"{caught.value}{caplog.text}{engine!r}"


async def test_a_wrong_password_is_told(server):
    engine = RemoteEngine(server[1].replace("not%20", "wrong"))
    with pytest.raises(Unavailable, match="Authentication"):
        await engine.query("SELECT 1", {})
    await engine.close()


@pytest.mark.parametrize("url", ["", "host:8123", "ftp://host", "http://", "http://h:port", "http://h:99999999"])
def test_what_is_no_address_is_told(url):
    with pytest.raises(Invalid, match="not the address of a ClickHouse server"):
        RemoteEngine(url)


def test_the_setting_may_name_where_the_address_is(tmp_path):
    (tmp_path / "url").write_text("http://h\n")
    assert server_url({}) is None
    assert server_url({"TIDEMILL_CLICKHOUSE": "http://h"}) == "http://h"
    assert server_url({"TIDEMILL_CLICKHOUSE": "env:X", "X": "http://h"}) == "http://h"
    assert server_url({"TIDEMILL_CLICKHOUSE": f"file:{tmp_path / 'url'}"}) == "http://h"
    with pytest.raises(NotFound):
        server_url({"TIDEMILL_CLICKHOUSE": f"file:{tmp_path / 'none'}"})
