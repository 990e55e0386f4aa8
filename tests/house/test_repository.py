"""What must never stand in the repository: paths of one machine, hosts of one registry, secrets, loose ends."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest

from house.processes import ROOT

FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w.<])/(?:work|root|home|Users)/[A-Za-z0-9_.-]"),
    "a registry's address": re.compile(r"(?:--(?:extra-)?index-url|https?://[^\s\"'<>)]*/simple\b|PIP_INDEX_URL|UV_INDEX)"),
    "a secret": re.compile(
        r"(?:sk-ant-api\d\d-|sk-proj-|ghp_|AKIA[0-9A-Z]{8})[A-Za-z0-9_-]{12,}|-----BEGIN [A-Z ]*PRIVATE KEY"
    ),
    "a merge that was not finished": re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE),
}
VAGUE = {"utils", "helpers", "common", "misc", "manager", "base", "util", "helper"}


def tracked() -> list[str]:
    try:
        listed = subprocess.run(
            ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"), cwd=ROOT, capture_output=True, check=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("this is not a clone")
    return [each for each in listed.stdout.decode().split("\0") if each and (ROOT / each).is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    found = []
    for path in tracked():
        if path == "tests/house/test_repository.py":
            continue
        text = (ROOT / path).read_bytes().decode("utf-8", "replace")
        found += [f"{path}:{text.count(chr(10), 0, each.start()) + 1}: {each[0]!r}" for each in FORBIDDEN[what].finditer(text)]
    assert found == []


def test_no_module_is_called_vaguely() -> None:
    parts = {(path, each) for path in tracked() if path.endswith(".py") for each in path.removesuffix(".py").split("/")}
    assert {path for path, each in parts if each in VAGUE} == set()


def test_nothing_built_is_tracked() -> None:
    built = re.compile(r"(?:^|/)(?:__pycache__|\.venv|\.tidemill|dist|build|node_modules|\.pytest_cache)/|\.(?:pyc|so|whl|db)$")
    assert [path for path in tracked() if built.search(path)] == []


def test_packages_say_what_lives_in_them() -> None:
    packages = [path for path in tracked() if re.fullmatch(r"src/tidemill/\w+/__init__\.py", path)]
    assert packages
    assert [path for path in packages if not (ROOT / path).read_text("utf-8").startswith('"""')] == []


def test_every_extra_is_as_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"analytics", "local-models", "rag", "safety", "eval", "tune"} <= project["optional-dependencies"].keys()
    assert project["license"] == "Apache-2.0"


def test_every_entry_point_loads() -> None:
    from tidemill.core.extend import extension_names, load_extension

    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    for group, entries in groups.items():
        name = group.removeprefix("tidemill.")
        assert set(entries) <= set(extension_names(name)), group
        for each in entries:
            assert load_extension(name, each) is not None
