"""What the pages show works: their projects can be planned, and their programs run.

Blocks are marked in the fence: `yaml project` is a spec, `LANGUAGE file PATH` a file beside it, and `python run` a program that
runs in the project's folder. The blocks of a page make one project.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Page:
    path: Path

    def blocks(self, *marks: str) -> list[tuple[list[str], str]]:
        found = [(match["info"].split(), match["body"]) for match in _FENCE.finditer(self.path.read_text("utf-8"))]
        return [(info, body) for info, body in found if tuple(info[1 : 1 + len(marks)]) == marks]

    def write(self, folder: Path) -> None:
        for info, body in self.blocks("file"):
            target = folder / info[2]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(body, "utf-8")
        specs = folder / "tidemill"
        specs.mkdir()
        for number, (_, body) in enumerate(self.blocks("project")):
            (specs / f"{number}.yaml").write_text(body, "utf-8")
        (folder / "tidemill.toml").touch()


PAGES = [Page(path) for path in sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])]
PROJECTS = [page for page in PAGES if page.blocks("project")]
PROGRAMS = [page for page in PAGES if page.blocks("run")]
PLANNED = [page for page in PROJECTS if page not in PROGRAMS]  # a program applies its page's project itself


def name_of(page: Page) -> str:
    return str(page.path.relative_to(ROOT))


def run(folder: Path, *command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    ended = subprocess.run(
        (sys.executable, *command), cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def test_there_are_pages_to_test() -> None:
    assert len(PROJECTS) >= 8
    assert len(PROGRAMS) >= 5


@pytest.mark.parametrize("page", PLANNED, ids=name_of)
def test_the_specs_of_a_page_can_be_planned(page: Page, tmp_path: Path) -> None:
    page.write(tmp_path)
    planned = run(tmp_path, "-c", "from tidemill.cli.main import main; main()", "plan")
    assert "Next      tidemill apply" in planned


@pytest.mark.parametrize("page", PROGRAMS, ids=name_of)
def test_the_programs_of_a_page_run(page: Page, tmp_path: Path) -> None:
    page.write(tmp_path)
    for number, (_, body) in enumerate(page.blocks("run")):
        program = tmp_path / f"program_{number}.py"
        program.write_text(body, "utf-8")
        run(tmp_path, "-X", "faulthandler", program.name)
