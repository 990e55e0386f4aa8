"""The wheel works outside of the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from house.processes import ROOT, environment, python, tidemill


@pytest.mark.slow
def test_the_wheel_installs_and_works_elsewhere(tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    subprocess.run((*pip, "wheel", "--no-deps", "-w", tmp_path / "dist", ROOT), check=True, cwd=tmp_path, timeout=100)
    (wheel,) = (tmp_path / "dist").glob("tidemill-*.whl")
    target = tmp_path / "site"
    subprocess.run((*pip, "install", "--no-deps", "--target", target, wheel), check=True, cwd=tmp_path, timeout=100)
    env = environment(target)
    where = python("-c", "import tidemill; print(tidemill.__file__)", cwd=tmp_path, env=env)
    assert where.stdout.startswith(str(target))
    assert "tidemill up" in tidemill("--help", cwd=tmp_path, env=env).stdout
    made = tidemill("init", "app", "--template", "chat", cwd=tmp_path, env=env)
    assert made.returncode == 0, made.stderr
    applied = tidemill("apply", "--json", cwd=tmp_path / "app", env=env)
    assert applied.returncode == 0, applied.stderr
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith("tests/") or name.endswith(".pyc")]
