"""One server for all tests of a file; each test has projects of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from api.house import House, Project, open_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith("TIDEMILL_")]:
            patch.delenv(name)
        with open_house(tmp_path_factory.mktemp("house")) as opened:
            yield opened


@pytest.fixture
def project(house: House) -> Project:
    """A project of its own, with nothing in it."""
    return house.project()


@pytest.fixture
def filled(project: Project) -> Project:
    """`chain/tide` with its model, prompt, dataset and gate."""
    project.apply()
    return project
