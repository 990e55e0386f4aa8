"""Run by Python at its start, where `tidemill instrument` put this folder first in PYTHONPATH.

It takes the folder away again for the look-up of another `sitecustomize`, which it runs, too. Nothing that goes wrong here may
keep the program from starting.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent


def _run_the_other() -> None:
    """The `sitecustomize` that this one stands before, if there is one."""
    elsewhere = [each for each in sys.path if Path(each or ".").resolve() != _FOLDER]
    found = PathFinder.find_spec("sitecustomize", elsewhere)
    if found is not None and found.loader is not None:
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)


def _run_ours() -> None:
    spec = importlib.util.spec_from_file_location("_tidemill_hooks", _FOLDER / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.install()


try:
    _run_ours()
except Exception as error:  # noqa: BLE001  (see above)
    sys.stderr.write(f"tidemill instrument: not traced: {type(error).__name__}: {error}\n")
try:
    _run_the_other()
finally:
    sys.path[:] = [each for each in sys.path if Path(each or ".").resolve() != _FOLDER]
