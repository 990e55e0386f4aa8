"""One application for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from access.house import House, open_house


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
def house(running: House) -> Iterator[House]:
    """The application, with the clock set right again after the test."""
    yield running
    running.clock.offset = 0.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
