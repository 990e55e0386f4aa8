"""Documentation that cannot rot: links lead somewhere, every extension group, command and error code is described."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def broken_links() -> list[str]:
    pages = [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]
    return [
        f"{page.relative_to(ROOT)}: the link to {target} leads nowhere"
        for page in pages
        for target in _LINK.findall(page.read_text("utf-8"))
        if not target.startswith(("http://", "https://", "mailto:")) and not (page.parent / target).exists()
    ]


def undescribed(page: str, names: list[str]) -> list[str]:
    text = (DOCS / page).read_text("utf-8")
    return [f"docs/{page} does not mention `{name}`" for name in names if f"`{name}`" not in text]


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = project["entry-points"]
    from tidemill.cli.commands import COMMANDS  # noqa: PLC0415
    from tidemill.core.errors import BY_CODE  # noqa: PLC0415

    problems = [
        *broken_links(),
        *undescribed("reference/extensions.md", list(groups)),
        *undescribed("reference/extensions.md", [name for group in groups.values() for name in group]),
        *undescribed("reference/exit-codes.md", list(BY_CODE)),
        *undescribed("reference/cli.md", [f"tidemill {name}" for name in COMMANDS]),
        *undescribed("reference/install.md", list(project["optional-dependencies"])),
    ]
    print("\n".join(problems) or "the documentation is whole")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
